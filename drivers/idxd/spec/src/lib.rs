//! DSA and IAA descriptors, completion records, flags, statuses, registers and resume rules.
