//! A workload laid out in memory, for one run.

use std::io::Read;

use flate2::read::DeflateDecoder;
use svala::{Job, Span, Value};

use crate::memory::{Child, Region};

/// One operation, and what comes before it.
pub(crate) struct Step {
    pub(crate) job: Job,
    /// This region is given back to the kernel first; its time does not count.
    pub(crate) forget: Option<usize>,
}

/// What a right result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Every destination is as its source.
    Copied,
    /// The ranges are equal.
    Equal,
    /// What was written expands to the source.
    Deflated,
}

/// Memory and operations of one run.
pub(crate) struct Case {
    pub(crate) steps: Vec<Step>,
    pub(crate) regions: Vec<Region>,
    pub(crate) check: Check,
    /// Shares the memory.
    pub(crate) child: Option<Child>,
    /// A copy of mapped memory that is to be done again and again beside the steps.
    pub(crate) beside: Option<Job>,
}

impl Case {
    /// Bytes of all sources.
    pub(crate) fn bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.job.bytes()).sum()
    }

    /// Pages of all operands, each time an operation has them.
    pub(crate) fn pages(&self) -> u64 {
        let operands = self.steps.iter().flat_map(|step| step.job.operands());
        operands.flatten().map(|operand| operand.span.page_count()).sum()
    }

    /// Whether the results are right; if not, what is wrong.
    pub(crate) fn verify(&mut self, values: &[Value]) -> Result<(), String> {
        // A child that shares the memory has nothing to do with it any more.
        drop(self.child.take());
        if values.len() != self.steps.len() {
            return Err(format!("{} results of {} operations", values.len(), self.steps.len()));
        }
        let jobs: Vec<Job> = self.steps.iter().map(|step| step.job).collect();
        for (at, (job, value)) in jobs.iter().zip(values).enumerate() {
            // What was written to the same place later says nothing about an earlier operation.
            let is_last = self.steps.get(at + 1).is_none_or(|next| next.forget.is_none());
            match (self.check, *job) {
                (Check::Copied, Job::Copy { src, dst, len }) if is_last => {
                    let source = self.contents(Span::new(src, len)).to_vec();
                    let written = self.contents(Span::new(dst, len));
                    if let Some(byte) = difference(&source, written) {
                        return Err(format!("operation {at}: byte {byte} of {len} differs"));
                    }
                }
                (Check::Copied, Job::Copy { .. }) => {}
                (Check::Equal, Job::Compare { .. }) if *value == Value::Difference(None) => {}
                (Check::Deflated, Job::Deflate { src, dst, .. }) => {
                    let Value::Deflate { written, .. } = *value else {
                        return Err(format!("operation {at}: {value:?}"));
                    };
                    let source = self.contents(src).to_vec();
                    let stream = self.contents(Span::new(dst.addr, written.min(dst.len)));
                    let mut expanded = Vec::with_capacity(source.len());
                    DeflateDecoder::new(stream)
                        .read_to_end(&mut expanded)
                        .map_err(|error| format!("operation {at}: {error}"))?;
                    if expanded != source {
                        return Err(format!("operation {at}: expands to something else"));
                    }
                }
                (_, job) => return Err(format!("operation {at}: {} answered {value:?}", job.operation())),
            }
        }
        Ok(())
    }

    /// The bytes of a span of one of the regions.
    fn contents(&mut self, span: Span) -> &[u8] {
        let region = self.regions.iter_mut().find(|region| {
            let start = region.addr();
            span.addr >= start && span.end() <= start.add(region.bytes())
        });
        let Some(region) = region else { unreachable!("operands lie in regions: {span:?}") };
        let index = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let at = index(span.addr.get() - region.addr().get());
        &region.contents()[at..at + index(span.len)]
    }
}

/// The first byte at which two ranges differ.
fn difference(a: &[u8], b: &[u8]) -> Option<usize> {
    if a == b {
        return None;
    }
    Some(a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len())))
}

#[cfg(test)]
mod tests {
    use svala::Access;

    use super::*;

    fn copy(bytes: u64) -> Case {
        let (mut src, dst) = (Region::anonymous(bytes).unwrap(), Region::anonymous(bytes).unwrap());
        src.fill(b"not zeros");
        let job = Job::Copy { src: src.addr(), dst: dst.addr(), len: bytes };
        let steps = vec![Step { job, forget: None }];
        Case { steps, regions: vec![src, dst], check: Check::Copied, child: None, beside: None }
    }

    #[test]
    fn a_copy_that_did_not_happen_is_found() {
        let mut case = copy(8192);
        assert_eq!((case.bytes(), case.pages()), (8192, 4));
        assert_eq!(case.verify(&[Value::None]), Err("operation 0: byte 0 of 8192 differs".into()));
        assert!(case.verify(&[]).is_err());
        case.regions[1].populate(Access::Write).unwrap();
        case.regions[1].fill(b"not zeros");
        assert_eq!(case.verify(&[Value::None]), Ok(()));
    }
}
