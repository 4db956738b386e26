//! Asynchronous accelerator runtime on Shared Virtual Addressing.
