//! A tree whose writes end with a signal.

use std::io;

use svala_idxd::configuration::Tree;

use crate::stop::Stop;

/// Refuses the first write after a signal. That makes [`Plan::apply`](svala_idxd::configuration::Plan::apply) put back
/// what it has done, by writes that are not refused.
pub(crate) struct Interruptible<T> {
    tree: T,
    /// Whether to go on.
    stop: Stop,
    interrupted: bool,
}

impl<T> Interruptible<T> {
    pub(crate) const fn new(tree: T, stop: Stop) -> Self {
        Self { tree, stop, interrupted: false }
    }

    /// Whether a write was refused for a signal.
    pub(crate) const fn is_interrupted(&self) -> bool {
        self.interrupted
    }
}

impl<T: Tree> Tree for Interruptible<T> {
    fn read(&mut self, path: &str) -> io::Result<String> {
        self.tree.read(path)
    }

    fn write(&mut self, path: &str, value: &str) -> io::Result<()> {
        if !self.interrupted && self.stop.check().is_err() {
            self.interrupted = true;
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.tree.write(path, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what reaches it.
    #[derive(Debug, Default)]
    struct Count(usize);

    impl Tree for Count {
        fn read(&mut self, _: &str) -> io::Result<String> {
            Ok(String::new())
        }

        fn write(&mut self, _: &str, _: &str) -> io::Result<()> {
            self.0 += 1;
            Ok(())
        }
    }

    #[test]
    fn a_signal_refuses_one_write_and_lets_those_that_put_back_through() {
        let stop = Stop::idle();
        let mut tree = Interruptible::new(Count::default(), stop.clone());
        assert!(tree.write("a", "1").is_ok() && !tree.is_interrupted());
        stop.signal(2);
        assert_eq!(tree.write("b", "1").unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(tree.is_interrupted());
        assert!(tree.write("a", "0").is_ok());
        assert_eq!(tree.tree.0, 2);
    }
}
