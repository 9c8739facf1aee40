//! A sample of every event type.
