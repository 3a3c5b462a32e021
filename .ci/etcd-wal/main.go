// Reads a write-ahead log and its snapshots with etcd's own code, and says what it found.
//
// It is the judge of what quorate writes: wal.Verify checks the checksums of all segments,
// wal.ValidSnapshotEntries the notes of snapshots, the snapshotter loads the newest file that the
// log notes, and wal.Open with ReadAll replays the log behind it, as an etcd server does when it
// starts. Prints one line for each, for the caller to compare; exits with 1 at the first that etcd
// refuses.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: etcd-wal MEMBER_DIRECTORY, the one with wal and snap in it")
		os.Exit(2)
	}
	if err := read(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "etcd refuses it:", err)
		os.Exit(1)
	}
}

func read(member string) error {
	logger := zap.NewNop()
	waldir, snapdir := filepath.Join(member, "wal"), filepath.Join(member, "snap")
	noted, err := wal.ValidSnapshotEntries(logger, waldir)
	if err != nil {
		return fmt.Errorf("ValidSnapshotEntries: %w", err)
	}
	for _, it := range noted {
		fmt.Printf("noted snapshot index=%d term=%d\n", it.Index, it.Term)
	}
	var start walpb.Snapshot
	loaded, err := snap.New(logger, snapdir).LoadNewestAvailable(noted)
	switch {
	case err == nil:
		start.Index, start.Term = loaded.Metadata.Index, loaded.Metadata.Term
		start.ConfState = &loaded.Metadata.ConfState
		fmt.Printf("loaded snapshot index=%d term=%d bytes=%d voters=%v\n",
			start.Index, start.Term, len(loaded.Data), loaded.Metadata.ConfState.Voters)
	case err == snap.ErrNoSnapshot:
		fmt.Println("loaded snapshot none")
	default:
		return fmt.Errorf("LoadNewestAvailable: %w", err)
	}
	state, err := wal.Verify(logger, waldir, start)
	if err != nil {
		return fmt.Errorf("Verify: %w", err)
	}
	fmt.Printf("verified term=%d vote=%d commit=%d\n", state.Term, state.Vote, state.Commit)
	// For writing, as a server opens it: it locks the segments and looks at the torn end.
	log, err := wal.Open(logger, waldir, start)
	if err != nil {
		return fmt.Errorf("Open: %w", err)
	}
	defer log.Close()
	metadata, hard, entries, err := log.ReadAll()
	if err != nil {
		return fmt.Errorf("ReadAll: %w", err)
	}
	fmt.Printf("metadata %x\n", metadata)
	fmt.Printf("state term=%d vote=%d commit=%d\n", hard.Term, hard.Vote, hard.Commit)
	var bytes int
	for at, entry := range entries {
		if entry.Index != start.Index+1+uint64(at) {
			return fmt.Errorf("entry %d follows entry %d", entry.Index, start.Index+uint64(at))
		}
		bytes += len(entry.Data)
	}
	fmt.Printf("entries count=%d bytes=%d\n", len(entries), bytes)
	if len(entries) > 0 {
		first, last := entries[0], entries[len(entries)-1]
		fmt.Printf("first index=%d term=%d\nlast index=%d term=%d\n",
			first.Index, first.Term, last.Index, last.Term)
	}
	return nil
}
