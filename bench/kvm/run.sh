#!/bin/sh
# Runs an area of bench/kvm where KVM is usable: on this machine, else in the lab (docs/lab.md), where the time is counted in
# instructions so that a busy host does not disturb the figures. BENCH_CLOCK=wall takes wall-clock time there.
#
# In the lab a measurement is made in pieces of some rounds. A piece that hangs is made once more; what is measured lies in
# bench/AREA.tmp until all rounds are made, so that a run that was stopped goes on where it was.
#
#   bench/kvm/run.sh boot|boot-debian|memory|vsock|block [ARGUMENT...]
set -eu
name=$1
shift
cd "$(dirname "$0")/../.."
cache=-cache area=$name file=$name.json piece=3 clock=-icount drive=
[ "${BENCH_CLOCK:-}" = wall ] && clock=
case $name in
boot) piece=5 ;;
boot-debian) area=boot file=boot.json piece=5 cache=-cache-debian; set -- -kernel debian "$@" ;;
memory) file=boot.json piece=10 ;;
block) piece=2 drive=-tools-drive ;;
esac
go build -trimpath -o bin/bench-kvm ./bench/kvm
go build -trimpath -o bin/lab ./test/lab/cmd/lab
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/bench-vsock-guest ./bench/kvm/guest
mkdir -p bench
if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
	[ "$area" = block ] && set -- -disk "$(bin/lab tools-disk)" "$@"
	exec bin/bench-kvm -area "$area" -bin bin -out "bench/$file" "$@"
fi
[ "$area" = block ] && set -- -disk /dev/vdb "$@"
state=bench/$name.tmp
[ -s "$state" ] || echo '{}' >"$state"
[ -s "bench/$file" ] || echo '[]' >"bench/$file"
more=3 # the status of a piece that is not the last
code=$more
while [ $code = $more ]; do
	code=0
	bin/lab run -tools $cache $clock $drive -mem 4G -silence 3m -retries 1 -file bin:/lab/bin \
		-file "bench/$file:/lab/out/$file" -fetch "/lab/out/$file:bench/$file" -file "$state:/lab/out/state" -fetch "/lab/out/state:$state" -- \
		bench-kvm -area "$area" -bin /lab/bin -out "/lab/out/$file" -state /lab/out/state -piece $piece "$@" || code=$?
done
[ $code = 0 ] && rm "$state"
exit $code
