//! What clients saw: the history format, its recorder, reader and writer.
