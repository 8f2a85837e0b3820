//! A stateful simulated OpenClaw gateway.
