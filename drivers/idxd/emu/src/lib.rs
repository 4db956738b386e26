//! A DSA and IAA device in software, over a memory bus.
