//! The ids of members and clusters, derived as etcd derives them: from what the members of a new
//! cluster are all told, so that they agree without having spoken.

use quorate_raft::NodeId;
use sha1::{Digest, Sha1};

/// The id of a founder that is reached at these URLs.
pub(crate) fn member_id(peer_urls: &[String], token: &str) -> NodeId {
    let mut sorted: Vec<&str> = peer_urls.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut hash = Sha1::new();
    for url in sorted {
        hash.update(url);
    }
    hash.update(token);
    NodeId(first_eight(hash))
}

/// The id of the cluster that these members found.
pub(crate) fn cluster_id(members: impl IntoIterator<Item = NodeId>) -> u64 {
    let mut sorted: Vec<NodeId> = members.into_iter().collect();
    sorted.sort_unstable();
    let mut hash = Sha1::new();
    for member in sorted {
        hash.update(member.0.to_be_bytes());
    }
    first_eight(hash)
}

fn first_eight(hash: Sha1) -> u64 {
    let hash = hash.finalize();
    let (first, _) = hash.split_first_chunk::<8>().expect("a SHA-1 has 20 bytes");
    u64::from_be_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every etcd that is started without flags calls itself.
    #[test]
    fn the_ids_are_those_that_etcd_derives() {
        let id = member_id(&["http://localhost:2380".to_owned()], "etcd-cluster");
        assert_eq!(format!("{:x}", id.0), "8e9e05c52164694d");
        assert_eq!(format!("{:x}", cluster_id([id])), "cdf818194e3a8c32");
    }

    #[test]
    fn the_order_in_which_members_are_named_makes_no_difference() {
        let [one, other] = [NodeId(7), NodeId(u64::MAX)];
        assert_eq!(cluster_id([one, other]), cluster_id([other, one]));
        let urls = ["http://a:1".to_owned(), "http://b:2".to_owned()];
        let turned = [urls[1].clone(), urls[0].clone()];
        assert_eq!(member_id(&urls, "t"), member_id(&turned, "t"));
    }
}
