//! The disk's thread: carries out the member's batches, in order, and says when each is durable.
//!
//! It decides nothing. Group commit is what gathers at the member while a batch is under way.

use quorate_member::{BatchId, Input};
use quorate_wal::disk::{Disk, DiskError, DiskOp};
use tokio::sync::mpsc;

use crate::handle::MemberHandle;

/// What the member wants to have on its disk.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) batch: BatchId,
    pub(crate) operations: Vec<DiskOp>,
}

/// The member's way to its disk. Bounded by the member, which has one batch under way at a time.
pub(crate) type Batches = mpsc::UnboundedSender<Batch>;

/// Serves the member until it has ended, or an operation failed, which is returned: what a disk
/// holds is then no longer known, and nothing more may be written to it.
pub(crate) async fn serve(
    mut disk: impl Disk,
    mut batches: mpsc::UnboundedReceiver<Batch>,
    member: MemberHandle,
) -> Option<DiskError> {
    while let Some(Batch { batch, operations }) = batches.recv().await {
        let result = DiskOp::execute_all(&operations, &mut disk);
        let failed = result.clone().err();
        let told = member.tell(Input::Disk { batch, result }).await;
        if failed.is_some() || told.is_err() {
            return failed;
        }
    }
    None
}
