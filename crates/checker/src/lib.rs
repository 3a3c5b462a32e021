//! Verdicts on client histories. Knows nothing of the code that produced them.
