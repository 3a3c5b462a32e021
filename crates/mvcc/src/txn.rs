//! Transactions: conditions, then one of two branches, as one atomic step.
//!
//! Owns the three passes that make a transaction take effect as a whole or not at all. All
//! conditions are decided first, nested ones too; then every operation that will run is checked;
//! only then is anything changed, and from there on nothing can be refused. (etcd once checked
//! some reads only while it executed, so that members which had compacted differently answered
//! and applied differently: its bug 18667.) A record that cannot be read is no refusal: what was
//! changed before it was met is taken back, so that the transaction can be tried again.

use std::cmp::Ordering;
use std::slice;

use quorate_wal::disk::{Disk, MemDisk};

use crate::error::{Error, Failure};
use crate::key_range::KeyRange;
use crate::request::{Compare, CompareResult, CompareTarget, RangeRequest, RequestOp, TxnRequest};
use crate::response::{KeyValue, RangeResponse, ResponseOp, TxnResponse};
use crate::revision::{LeaseId, Revision};
use crate::revision_log::damage::Damage;
use crate::store::Store;
use crate::validate::validate_applied_txn;
use crate::write::Writer;

/// Which branch each transaction takes, in the order in which they are met: the outer one first,
/// then those nested in its branch.
type Path = Vec<bool>;

impl Store {
    /// Runs a transaction, at one revision of its own if it changes something.
    ///
    /// # Errors
    /// Those of [`validate_txn`](crate::validate_txn) but for the limit of operations, which is
    /// for the proposer to hold; and of the branch that would run, what
    /// [`put`](Store::put) and [`range`](Store::range) refuse. A range at a revision that only
    /// this transaction would reach is refused as future.
    pub fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, Error> {
        self.apply_txn(request, &MemDisk::new(), true).map_err(Failure::refusal)
    }

    pub(crate) fn apply_txn(
        &mut self,
        request: &TxnRequest,
        disk: &dyn Disk,
        has_answer: bool,
    ) -> Result<TxnResponse, Failure> {
        validate_applied_txn(request)?;
        let mut path = Path::new();
        self.decide(request, &mut path, disk)?;
        self.check(request, &mut path.iter())?;
        let mut writer = Writer::begin(self, disk, has_answer);
        match execute(&mut writer, request, &mut path.iter()) {
            Ok(mut response) => {
                response.revision = writer.finish();
                Ok(response)
            }
            Err(damage) => {
                writer.take_back();
                Err(damage)
            }
        }
    }

    fn decide(&self, request: &TxnRequest, path: &mut Path, disk: &dyn Disk) -> Result<(), Damage> {
        let mut holds = true;
        for condition in &request.compare {
            if !self.holds(condition, disk)? {
                holds = false;
                break;
            }
        }
        path.push(holds);
        for operation in branch(request, holds) {
            if let RequestOp::Txn(nested) = operation {
                self.decide(nested, path, disk)?;
            }
        }
        Ok(())
    }

    fn holds(&self, condition: &Compare, disk: &dyn Disk) -> Result<bool, Damage> {
        let range = KeyRange::new(&condition.key, &condition.range_end);
        let mut found = false;
        let needs_value = matches!(condition.target, CompareTarget::Value(_));
        for location in self.index.visible(range, self.current) {
            found = true;
            let record = self.log.get_needed(location, needs_value, disk)?;
            if !compare(condition, &record.kv) {
                return Ok(false);
            }
        }
        if found {
            return Ok(true);
        }
        // A missing key's numbers are zero. It has no value, and none could be told from the
        // empty one, so a condition on it fails.
        Ok(!needs_value && compare(condition, &KeyValue::default()))
    }

    fn check(&self, request: &TxnRequest, path: &mut slice::Iter<'_, bool>) -> Result<(), Error> {
        for operation in branch(request, next_decision(path)) {
            match operation {
                RequestOp::Range(range) => self.check_range(range)?,
                RequestOp::Put(put) => self.check_put(put)?,
                RequestOp::DeleteRange(_) => {}
                RequestOp::Txn(nested) => self.check(nested, path)?,
            }
        }
        Ok(())
    }

    /// Within a transaction a negative revision is one below every compaction, as in etcd; alone
    /// it reads the current one.
    fn check_range(&self, request: &RangeRequest) -> Result<(), Error> {
        match request.revision {
            Some(revision) if revision > self.current => Err(Error::FutureRevision),
            Some(revision) if revision < self.compacted => Err(Error::Compacted),
            _ => Ok(()),
        }
    }
}

fn execute(
    writer: &mut Writer<'_>,
    request: &TxnRequest,
    path: &mut slice::Iter<'_, bool>,
) -> Result<TxnResponse, Failure> {
    let succeeded = next_decision(path);
    let operations = branch(request, succeeded);
    let mut responses = Vec::with_capacity(operations.len());
    for operation in operations {
        responses.push(match operation {
            RequestOp::Range(_) if !writer.has_answer => {
                ResponseOp::Range(RangeResponse::default())
            }
            RequestOp::Range(range) => {
                let response = writer.store.read(range, writer.revision(), writer.disk);
                let is_refused = matches!(response, Err(Failure::Refused(_)));
                assert!(!is_refused, "the range's revision was checked");
                ResponseOp::Range(response?)
            }
            RequestOp::Put(put) => ResponseOp::Put(writer.put(put)?),
            RequestOp::DeleteRange(delete) => ResponseOp::DeleteRange(writer.delete_range(delete)?),
            RequestOp::Txn(nested) => ResponseOp::Txn(execute(writer, nested, path)?),
        });
    }
    // The outermost transaction's header is filled when it is finished, a nested one's never.
    Ok(TxnResponse { revision: Revision(0), succeeded, responses })
}

fn branch(request: &TxnRequest, holds: bool) -> &[RequestOp] {
    if holds { &request.success } else { &request.failure }
}

fn next_decision(path: &mut slice::Iter<'_, bool>) -> bool {
    *path.next().expect("every transaction that runs was decided")
}

fn compare(condition: &Compare, kv: &KeyValue) -> bool {
    let ordering = match &condition.target {
        CompareTarget::Version(operand) => kv.version.cmp(operand),
        CompareTarget::CreateRevision(operand) => kv.create_revision.0.cmp(operand),
        CompareTarget::ModRevision(operand) => kv.mod_revision.0.cmp(operand),
        CompareTarget::Value(operand) => kv.value.cmp(operand),
        CompareTarget::Lease(operand) => LeaseId::to_wire(kv.lease).cmp(operand),
    };
    match condition.result {
        CompareResult::Equal => ordering == Ordering::Equal,
        CompareResult::Greater => ordering == Ordering::Greater,
        CompareResult::Less => ordering == Ordering::Less,
        CompareResult::NotEqual => ordering != Ordering::Equal,
    }
}
