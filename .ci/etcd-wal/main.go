// Reads a write-ahead log and its snapshots with etcd's own code, and says what it found.
//
// It is the judge of what quorate writes: wal.Verify checks the checksums of all segments,
// wal.ValidSnapshotEntries the notes of snapshots, the snapshotter loads the newest file that the
// log notes, and wal.Open with ReadAll replays the log behind it, as an etcd server does when it
// starts. Prints one line for each directory, to be compared with what its writer says; exits with
// 1 at the first that etcd refuses.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.uber.org/zap"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: etcd-wal DATA_DIRECTORY..., each with member/wal and member/snap in it")
		os.Exit(2)
	}
	for _, data := range os.Args[1:] {
		found, err := read(filepath.Join(data, "member"))
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: etcd refuses it: %v\n", data, err)
			os.Exit(1)
		}
		fmt.Printf("%s: %s\n", filepath.Base(data), found)
	}
}

func read(member string) (string, error) {
	logger := zap.NewNop()
	waldir, snapdir := filepath.Join(member, "wal"), filepath.Join(member, "snap")
	noted, err := wal.ValidSnapshotEntries(logger, waldir)
	if err != nil {
		return "", fmt.Errorf("ValidSnapshotEntries: %w", err)
	}
	var start walpb.Snapshot
	loaded, err := snap.New(logger, snapdir).LoadNewestAvailable(noted)
	switch {
	case err == nil:
		start.Index, start.Term = loaded.Metadata.Index, loaded.Metadata.Term
		start.ConfState = &loaded.Metadata.ConfState
	case errors.Is(err, snap.ErrNoSnapshot):
	default:
		return "", fmt.Errorf("LoadNewestAvailable: %w", err)
	}
	verified, err := wal.Verify(logger, waldir, start)
	if err != nil {
		return "", fmt.Errorf("Verify: %w", err)
	}
	// For writing, as a server opens it: it locks the segments and looks at the torn end.
	log, err := wal.Open(logger, waldir, start)
	if err != nil {
		return "", fmt.Errorf("Open: %w", err)
	}
	defer log.Close()
	_, state, entries, err := log.ReadAll()
	if err != nil {
		return "", fmt.Errorf("ReadAll: %w", err)
	}
	if *verified != state {
		return "", fmt.Errorf("Verify found %v, ReadAll %v", verified, state)
	}
	last := start.Index
	for _, entry := range entries {
		if entry.Index != last+1 {
			return "", fmt.Errorf("entry %d follows entry %d", entry.Index, last)
		}
		last = entry.Index
	}
	return fmt.Sprintf("snapshot=%d state term=%d vote=%d commit=%d entries=%d last=%d",
		start.Index, state.Term, state.Vote, state.Commit, len(entries), last), nil
}
