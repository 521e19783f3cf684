use std::time::Instant;
use super::{Call, Reply, Transactions, judge::Verdict, lane::Work};
impl Transactions {
    pub(super) fn take_verdict(&mut self, verdict: Verdict) { let Verdict::Abort(c, b) = verdict; self.must_abort(c, b); }
    pub(super) fn handle_coordinator(&mut self, _work: Work, _reply: Reply, _now: Instant, _random: u64) {}
    pub(super) fn handle_group(&mut self, _work: Work, _reply: Reply, _now: Instant, _random: u64) {}
    pub(super) fn next_call(&mut self) -> Option<(Work, Call)> { None }
}
