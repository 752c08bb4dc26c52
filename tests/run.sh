#!/bin/bash
# Every check and every test of capsul: installs what they need, builds, runs them. Ends with the test runner's own
# closing line, or with the names of the steps that failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

lint_steps=(format coroutines includes unfinished shell python man)
all_steps=(install "${lint_steps[@]}" units fuzz asan tsan tidy release e2e)
quick_steps=(install "${lint_steps[@]}" dev)

usage() {
	cat <<-USAGE
		usage: tests/run.sh [--quick] [--only STEP]...

		Without options everything: somewhat over an hour on two cores the first time.
		  --quick       the lints, and one build with its unit and integration tests
		  --only STEP   just this, may be repeated
		Steps: ${all_steps[*]} (and dev, of --quick)
		  install     what is missing of Debian's packages (tests/install-deps.sh)
		  format      clang-format          coroutines  co_await only where it is safe with g++ 12
		  includes    who includes what     unfinished  no marks of unfinished work
		  shell       shellcheck            python      it compiles      man  scdoc and mandoc
		  dev         build, unit tests, integration tests
		  asan, tsan  the same under sanitizers, of which asan also has all the assertions of dev
		  units       systemd-analyze verify of the units that capsul writes
		  fuzz        each fuzzer with a million inputs, or for CAPSUL_FUZZ_SECONDS (default: 15)
		  tidy        clang-tidy, what passed is remembered in ~/.cache/capsul-checks
		  release     build, install into build/stage, systemd-analyze verify of what is installed
		  e2e         real hosts, real guests (needs root): build/stage in tests/e2e
		E2E tests alone, after a release step: /usr/bin/python3 -m pytest tests/e2e -k NAME
	USAGE
}

# ---------------------------------------------------------------------------------------------------------------- lints

cpp_files() {
	find lib daemon cli tests -name '*.[ch]pp'
}

shell_files() {
	echo cli/completions/capsulctl.bash
	find .ci daemon examples tests -type f -exec awk 'FNR == 1 { if (/^#!\/bin\/(ba)?sh/) print FILENAME; nextfile }' {} +
}

step_install() {
	tests/install-deps.sh
}

step_format() {
	cpp_files | xargs clang-format --dry-run -Werror
}

# g++ 12 miscompiles much that looks harmless around co_await (CONTRIBUTING.md).
step_coroutines() {
	! grep -rn --include='*.[ch]pp' co_await lib daemon cli tests | grep -v '^daemon/server\.cpp:' &&
		! grep -nE 'co_await[^;]*[{?]|\b(if|while|switch|for) *\([^)]*co_await' daemon/server.cpp
}

step_includes() {
	tests/lint/includes.py
}

step_unfinished() {
	! git grep -nIwE 'TO''DO|FIX''ME|X''XX' -- . ':!LICENSE'
}

step_shell() {
	shell_files | xargs shellcheck
}

step_python() {
	find tests examples -name '*.py' -print0 |
		xargs -0 /usr/bin/python3 -c 'import sys; [compile(open(name).read(), name, "exec") for name in sys.argv[1:]]'
}

# scdoc writes a paragraph before every block, which mandoc finds one too many.
step_man() {
	local page complaints status=0
	for source in man/*.scd; do
		page=$(scdoc <"$source") || return
		complaints=$(mandoc -T lint -W warning <<<"$page" 2>&1 | grep -v 'skipping paragraph macro: PP' || true)
		[ -n "$complaints" ] || continue
		echo "$source: $complaints"
		status=1
	done
	return $status
}

# --------------------------------------------------------------------------------------------------------------- builds

# Memory: a file takes up to a gigabyte to compile.
build() {
	cmake --preset "$1" >/dev/null && cmake --build --preset "$1" --parallel 2
}

# Tests spend most of their time waiting.
test_preset() {
	build "$1" && "${@:2}" ctest --preset "$1" --parallel 3 | tee "build/$1/ctest.log"
}

step_dev() {
	test_preset dev
}

step_asan() {
	test_preset asan
}

# ThreadSanitizer of g++ 12 does not cope with as many random bits as some kernels use.
step_tsan() {
	if setarch --addr-no-randomize true 2>/dev/null; then
		test_preset tsan setarch --addr-no-randomize
	else
		test_preset tsan
	fi
}

step_tidy() {
	cmake --preset tidy >/dev/null && tests/lint/tidy.py
}

# --user or --system, and the units. Their programs need not be there to see whether every line is understood.
verify_units() {
	local complaints runtime
	runtime=$(mktemp -d)
	complaints=$(XDG_RUNTIME_DIR=$runtime systemd-analyze "$1" verify --man=no "${@:2}" 2>&1 |
		grep -vE 'is not executable: No such file|^$')
	rm -rf "$runtime"
	[ -z "$complaints" ] || echo "$complaints"
	[ -z "$complaints" ]
}

step_units() {
	local folder status=0
	folder=$(mktemp -d)
	while read -r golden; do
		cp "$golden" "$folder"
	done < <(find tests/unit/golden -name '*.service' -o -name '*.socket')
	if [ -n "$(ls -A "$folder")" ]; then
		verify_units --user "$folder"/* || status=1
	fi
	rm -rf "$folder"
	return $status
}

fuzz_one() {
	local fuzzer=$1 log=$1.log
	if "$fuzzer" -runs=1000000 -max_total_time="${CAPSUL_FUZZ_SECONDS:-15}" -print_funcs=0 -verbosity=0 \
		-print_final_stats=1 -artifact_prefix=build/fuzz/ >"$log" 2>&1; then
		sed -n "s/^stat::number_of_executed_units: */${fuzzer##*/}, inputs: /p" "$log"
	else
		cat "$log"
		return 1
	fi
}
export -f fuzz_one

step_fuzz() {
	build fuzz && find build/fuzz/tests/fuzz -name '*_fuzz' | sort | xargs -P 2 -I '{}' bash -c 'fuzz_one {}'
}

step_release() {
	build release && rm -rf build/stage && DESTDIR=$PWD/build/stage cmake --install build/release >/dev/null &&
		verify_units --user build/stage/usr/lib/systemd/user/{capsuld.socket,capsuld-host.socket,capsuld.service} &&
		verify_units --system build/stage/usr/lib/systemd/system/capsul-nft.service
}

step_e2e() {
	[ -x build/stage/usr/bin/capsulctl ] || step_release || return
	local as_root=
	[ "$(id -u)" -eq 0 ] || as_root="sudo --preserve-env=CAPSUL_TEST_IMAGES"
	# Three files at a time: a guest has one CPU, and most tests wait. All need the image, which is made once, here.
	$as_root examples/build-debian-image.sh "${CAPSUL_TEST_IMAGES:-/var/tmp/capsul-test-images}" &&
		$as_root /usr/bin/python3 -B -m pytest -p no:cacheprovider -q -n 3 --dist loadfile --durations=8 tests/e2e
}

# ------------------------------------------------------------------------------------------------------------- the whole

failed=()

# The last step says for itself how it ended, so that the runner's own closing line is the last.
run_step() {
	local name=$1 is_last=$2 start=$SECONDS
	echo "== $name"
	if "step_$name"; then
		[ -n "$is_last" ] || echo "-- $name: ok, $((SECONDS - start)) s"
	else
		failed+=("$name")
		echo "-- $name: FAILED, $((SECONDS - start)) s"
	fi
}

report_failures() {
	echo
	echo "FAILED: ${failed[*]}"
	local name
	for name in "${failed[@]}"; do
		[ ! -e "build/$name/ctest.log" ] || sed -n "s/^.* tests passed, .*/$name: &/p" "build/$name/ctest.log"
	done
	exit 1
}

steps=()
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage && exit ;;
	--quick) steps=("${quick_steps[@]}") ;;
	--only)
		[[ " ${all_steps[*]} dev " == *" ${2:-} "* ]] || { usage >&2 && exit 2; }
		steps+=("$2")
		shift
		;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done
[ ${#steps[@]} -gt 0 ] || steps=("${all_steps[@]}")

for step in "${steps[@]}"; do
	is_last=
	[ "$step" != "${steps[-1]}" ] || is_last=yes
	# Nothing green may stand below a failure, and e2e is long.
	if [ "$step" = e2e ] && [ ${#failed[@]} -gt 0 ]; then
		echo "== e2e: left out, since something before it failed"
		break
	fi
	run_step "$step" "$is_last"
	if [ "$step" = install ] && [ ${#failed[@]} -gt 0 ]; then
		break
	fi
done
[ ${#failed[@]} -eq 0 ] || report_failures
