//! svala with the drivers wired in: opens what the machine has and picks a queue per operation.
