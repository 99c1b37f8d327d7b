//! Nodes without an event loop: third-party handoffs in all three roles, with everybody
//! gone at every step, and who may stand in for whom.

#[path = "../support/bare.rs"]
mod bare;
mod by_hand;
mod cuts;
mod identity;
mod output_commit;
mod pacing;
mod stand_in;
mod withdrawals;
mod world;
