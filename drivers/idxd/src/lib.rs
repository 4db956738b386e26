//! svala driver for Intel DSA and IAA work queues.
