//! What is to go wrong.

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A compression runs out of room half-way through, however much there is; an expansion as well.
    Overflow,
    /// The output does not verify, and that is an error.
    CnvFailure,
    /// The output does not verify, and the input is stored instead.
    CnvRecovered,
    /// All is well, but nobody says that it was verified.
    NoCnvFlag,
    /// A slice hangs and is reset.
    SliceHang,
    /// There is no answer. The device holds on to the memory, and writes to it when the ring pair is reset.
    NeverAnswers,
    /// The answer is held back until so many later ones are out, or nothing else is left to do.
    Late(u32),
    /// An interrupt without a reason comes first.
    StrayInterrupt,
    /// An answer comes with a cookie nobody gave, before the right one.
    StrayAnswer,
    /// The answer comes twice.
    Twice,
    /// The answer claims more output than there was room for.
    Boasts,
    /// The answer is not marked as one.
    NotValid,
    /// The physical function announces a restart while the request is under way; then it is answered.
    Restart,
}

/// Why a ring pair reset is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetRefusal {
    /// The device has no such thing.
    NotSupported,
    /// The ring pair did not come to rest.
    Timeout,
    /// There is no answer at all.
    Silent,
    /// It is done, and answered, not before the next message comes. If that asks for a reset as well, this is done at the worst
    /// moment: when the ring pair has been opened and has a request again.
    Late,
}

/// What goes wrong in the messages between the functions. Counts go down to 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PfFaults {
    /// Blocks with a wrong check.
    pub bad_checks: u32,
    /// Messages that are not taken.
    pub lost_messages: u32,
    /// Messages that are taken and not answered.
    pub lost_answers: u32,
    /// Messages whose answer is there before they are seen to be taken.
    pub early_answers: u32,
    /// Ring pair resets that are refused.
    pub refused_resets: u32,
    /// In which way.
    pub refusal: Option<ResetRefusal>,
    /// What it answers to a question about versions: 1 fits, 2 does not, 3 unknown; 0 for what is right.
    pub version_result: u8,
}

/// What goes wrong, and when. Requests are counted from 1, over all ring pairs.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    at: Vec<(u64, Action)>,
    every: Vec<(u64, u64, Action)>,
    /// In the messages.
    pub pf: PfFaults,
}

impl FaultPlan {
    /// The same, and `action` at request `number`.
    #[must_use]
    pub fn at(mut self, number: u64, action: Action) -> Self {
        self.at.push((number, action));
        self
    }

    /// The same, and `action` at each request whose number leaves `rest` when divided by `n`.
    #[must_use]
    pub fn every(mut self, n: u64, rest: u64, action: Action) -> Self {
        self.every.push((n.max(1), rest, action));
        self
    }

    /// The same, with these faults in the messages.
    #[must_use]
    pub const fn pf(mut self, faults: PfFaults) -> Self {
        self.pf = faults;
        self
    }

    /// What happens to request `number`: the first that applies.
    pub(crate) fn action(&self, number: u64) -> Option<Action> {
        let at = self.at.iter().find(|(at, _)| *at == number).map(|(_, action)| *action);
        at.or_else(|| {
            self.every.iter().find(|(n, rest, _)| number % n == *rest).map(|(_, _, action)| *action)
        })
    }
}
