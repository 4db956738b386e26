//! In which order attributes are written, so that the kernel takes each.
//!
//! Sizes that shrink come before sizes that grow, because their sum has a bound at every moment. `type` clears `name`,
//! `mode` clears `threshold`, `prs_disable` clears `block_on_fault`: each comes before what it would clear.
//! `use_read_buffer_limit` can only be written while the device has a limit.

/// Where a value goes, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Under the bus.
    pub(crate) path: String,
    /// What is there, as far as is known.
    pub(crate) old: Option<String>,
    /// What is to be there.
    pub(crate) new: String,
}

/// Attributes of a device that can be written.
pub(crate) const DEVICE: [&str; 2] = ["read_buffer_limit", "event_log_size"];
/// Of a group.
pub(crate) const GROUP: [&str; 7] = [
    "use_read_buffer_limit",
    "read_buffers_reserved",
    "read_buffers_allowed",
    "traffic_class_a",
    "traffic_class_b",
    "desc_progress_limit",
    "batch_progress_limit",
];
/// Of an engine.
pub(crate) const ENGINE: [&str; 1] = ["group_id"];
/// Of a work queue, in their order.
pub(crate) const WORK_QUEUE: [&str; 14] = [
    "group_id",
    "type",
    "name",
    "driver_name",
    "mode",
    "size",
    "threshold",
    "priority",
    "prs_disable",
    "block_on_fault",
    "ats_disable",
    "max_transfer_size",
    "max_batch_size",
    "op_config",
];

impl Change {
    fn shrinks(&self) -> bool {
        let number = |text: &str| text.parse::<u64>().ok();
        self.old.as_deref().and_then(number) > number(&self.new)
    }

    /// What sorts changes: the phase; within the last phase, the work queue and then its attributes.
    fn key(&self) -> (u8, &str, usize) {
        let (owner, attribute) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let part = owner.rsplit('/').next().unwrap_or_default();
        let phase = match attribute {
            "size" if self.shrinks() => 0,
            "group_id" if part.starts_with("engine") => 1,
            "use_read_buffer_limit" if self.new == "0" => 2,
            "read_buffer_limit" | "event_log_size" => 3,
            "use_read_buffer_limit" => 4,
            "read_buffers_reserved" if self.shrinks() => 5,
            "read_buffers_reserved" => 6,
            "read_buffers_allowed" => 7,
            _ if part.starts_with("group") => 8,
            _ => {
                let rank = WORK_QUEUE.iter().position(|name| *name == attribute);
                return (9, part, rank.unwrap_or(WORK_QUEUE.len()));
            }
        };
        (phase, part, 0)
    }
}

/// Sorts the changes of one device.
pub(crate) fn sort(changes: &mut [Change]) {
    changes.sort_by(|a, b| a.key().cmp(&b.key()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shrinks_is_first_and_what_clears_comes_before_what_is_cleared() {
        let change = |path: &str, old: &str, new: &str| Change {
            path: format!("devices/dsa0/{path}"),
            old: Some(old.into()),
            new: new.into(),
        };
        let mut changes = vec![
            change("wq0.0/name", "", "a"),
            change("wq0.0/size", "0", "64"),
            change("wq0.0/threshold", "0", "60"),
            change("wq0.0/type", "none", "user"),
            change("group0.0/use_read_buffer_limit", "0", "1"),
            change("read_buffer_limit", "0", "16"),
            change("group0.1/read_buffers_reserved", "0", "8"),
            change("group0.0/read_buffers_reserved", "8", "0"),
            change("wq0.1/size", "128", "64"),
            change("wq0.0/mode", "dedicated", "shared"),
            change("engine0.0/group_id", "-1", "0"),
        ];
        sort(&mut changes);
        let paths: Vec<_> = changes.iter().map(|change| &change.path["devices/dsa0/".len()..]).collect();
        assert_eq!(
            paths,
            [
                "wq0.1/size",
                "engine0.0/group_id",
                "read_buffer_limit",
                "group0.0/use_read_buffer_limit",
                "group0.0/read_buffers_reserved",
                "group0.1/read_buffers_reserved",
                "wq0.0/type",
                "wq0.0/name",
                "wq0.0/mode",
                "wq0.0/size",
                "wq0.0/threshold",
            ]
        );
    }
}
