#!/bin/sh
# Runs test/endure where KVM is usable: on this machine, else in the lab (docs/lab.md). A soak goes on with soak.json of the run
# before, so that several runs of 15 minutes are one long soak.
#
#   test/endure/run.sh [SOAK-DURATION]
set -eu
length=${1:-15m}
cd "$(dirname "$0")/../.."
CGO_ENABLED=0 go build -trimpath -o bin/endure ./test/endure
state=${VOIDBOX_SOAK_STATE:-soak.json}
if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
	bin/endure boots -n 100
	bin/endure crowd -n 20
	exec bin/endure soak -for "$length" -state "$state" -disk "$(go run ./test/lab/cmd/lab tools-disk)"
fi
lab() { go run ./test/lab/cmd/lab run -cache -silence 2m -file bin:/lab/bin "$@"; }
lab -mem 2G -- endure boots -bin /lab/bin -cmdline noxsave -n 100
lab -mem 8G -- endure crowd -bin /lab/bin -cmdline noxsave -n 20
[ -s "$state" ] || echo '{}' >"$state"
lab -mem 3G -tools-drive -file "$state:/lab/soak.json" -fetch "/lab/soak.json:$state" -- \
	endure soak -bin /lab/bin -cmdline noxsave -for "$length" -state /lab/soak.json -disk /dev/vda
