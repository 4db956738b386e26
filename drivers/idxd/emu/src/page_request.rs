//! How the device asks for a page it does not have.

use crate::Access;

/// The host's answer to a page request (PCIe PRS; DSA §3.13.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageAnswer {
    /// The page is there now: try again.
    Success,
    /// The page cannot be had, or not with that access.
    Invalid,
    /// The host cannot answer page requests.
    Failure,
}

/// The host's side of the Page Request Service.
///
/// An engine calls it and waits: that is what block-on-fault means. Several engines may call at once.
pub trait PageRequests: Send + Sync {
    /// Asks for the page of `addr` in [`Space::current`](crate::Space::current), and returns when the host has answered.
    fn request(&self, addr: u64, access: Access) -> PageAnswer;

    /// Asks for several pages at once, as one group whose last request is marked, and returns with the one answer to
    /// all of them.
    ///
    /// A host that does not say otherwise is asked for one after the other.
    fn request_group(&self, pages: &[(u64, Access)]) -> PageAnswer {
        let answers = pages.iter().map(|(addr, access)| self.request(*addr, *access));
        answers.into_iter().find(|answer| *answer != PageAnswer::Success).unwrap_or(PageAnswer::Success)
    }
}
