//! What an emulated IAA and the CPU engine are both asked, and when their answers are the same.

use svala::{Error, IoBuf, Outcome, Slice};

const GUARD: usize = 64;
/// What is in a room at first, and around it for ever.
const FILL: u8 = 0xa5;

/// Room between bytes that must stay as they are.
pub type Room = Slice<Vec<u8>>;

pub fn room(bytes: usize) -> Room {
    let all = vec![FILL; GUARD + bytes + GUARD];
    Slice::new(all, GUARD..GUARD + bytes).unwrap_or_else(|_| unreachable!("within"))
}

/// What is in the room now.
fn inside(room: Room) -> Vec<u8> {
    let bytes = room.bytes().to_vec();
    let all = room.into_inner();
    let around = all[..GUARD].iter().chain(&all[GUARD + bytes.len()..]);
    assert!(around.copied().all(|byte| byte == FILL), "written outside of the room");
    bytes
}

/// How an operation ended: its value and the bytes it says it has written, or the kind of error; and all of the room.
#[derive(Debug, PartialEq, Eq)]
pub struct Ending<V> {
    pub value: Result<(V, Vec<u8>), String>,
    pub room: Vec<u8>,
}

impl<V> Ending<V> {
    /// Of an operation on a source, which it leaves as it was, and a room.
    pub fn of(outcome: Outcome<V, (Vec<u8>, Room)>, src: &[u8], written: impl FnOnce(&V) -> u64) -> Self {
        let (answer, buffers) = match outcome {
            Ok(done) => (Ok(done.value), done.buffers),
            Err(failed) => (Err(kind(&failed.error)), failed.buffers.expect("given back")),
        };
        assert!(buffers.0 == src, "the source has changed");
        let room = inside(buffers.1);
        let value = answer.map(|value| {
            let output = room[..written(&value) as usize].to_vec();
            (value, output)
        });
        Self { value, room }
    }

    /// It says that a tag does not match.
    pub fn is_forgery(&self) -> bool {
        self.value.as_ref().is_err_and(|kind| kind == "Tag")
    }

    /// Whether nothing of a message is in the room.
    pub fn reveals_nothing(&self) -> bool {
        self.room.iter().all(|byte| *byte == 0) || self.room.iter().all(|byte| *byte == FILL)
    }
}

impl<V: PartialEq> Ending<V> {
    /// Of a stream that is broken or cut behind its room nobody has to see that; a column can be wrong in more than one way,
    /// as one that has no bytes is too short and has no width; and what is left in the room by what fails is nobody's business.
    pub fn is_as(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Err(one), Err(other)) => {
                let is_of_stream = |kind: &str| ["OutputFull", "Corrupt", "Truncated"].contains(&kind);
                let one_is_full = one == "OutputFull" || other == "OutputFull";
                let is_of_column = |kind: &str| {
                    let word = kind.split(' ').next().unwrap_or_default();
                    ["TooShort", "Parquet", "ParquetWidth"].contains(&word)
                };
                one == other
                    || (one_is_full && is_of_stream(one) && is_of_stream(other))
                    || (is_of_column(one) && is_of_column(other))
            }
            (one, other) => one == other,
        }
    }
}

/// What an error says, but for places and names.
pub fn kind(error: &Error) -> String {
    match error {
        Error::Cipher { fault, .. } => format!("{fault:?}"),
        Error::Column { fault, .. } => format!("{fault:?}"),
        Error::Miniblock { fault, .. } => format!("{fault:?}"),
        error => format!("{error:?}").split([' ', '{']).next().unwrap_or_default().to_owned(),
    }
}
