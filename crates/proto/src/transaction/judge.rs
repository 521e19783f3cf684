use super::{Because, Bump, Cause, Fate};
pub(super) enum Verdict { Abort(Cause, Option<Bump>) }
pub(super) fn batch(because: Because, _fate: Fate) -> Verdict { Verdict::Abort(Cause::Batch(because), None) }
