#!/usr/bin/env bash
# A Raspberry Pi without one: Debian's Python for arm64 under user-mode emulation, and in it our wheel.
#
#   tests/pi/emulated-pi.sh DIR                everything below; DIR is kept and used again
#   tests/pi/emulated-pi.sh DIR ARGUMENTS...   only this, in the emulated Python: `-m tinycnn.cli info`
#
# Packages are downloaded and unpacked, not installed: no chroot, no second stage. Emulation says
# whether the code is right, not how fast it is (docs/raspberry-pi.md). Needs a Debian, Numba in
# $PYTHON (default python3), the network, and, unless they are there, root for two system packages.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
PYTHON=$(command -v "${PYTHON-python3}")
[[ $PYTHON == /* ]] || PYTHON=$PWD/$PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
dir=$1
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
shift
step() { printf '\n-- %s (after %d s)\n' "$*" "$SECONDS"; }

install_tools() {
    local packages=()
    command -v qemu-aarch64-static >/dev/null || packages+=(qemu-user-static)
    command -v aarch64-linux-gnu-ld >/dev/null || packages+=(binutils-aarch64-linux-gnu)
    [ ${#packages[@]} = 0 ] && return
    local sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}"
}

# apt resolves for arm64 what Python needs, from this machine's own sources, as if nothing were there.
unpack_python() {
    [ -e "$dir/root/complete" ] && return
    mkdir -p "$dir"/apt/{lists,cache/archives}/partial "$dir/root"
    : >"$dir/apt/status"
    local apt=(apt-get -qq -oAPT::Architecture=arm64 -oAPT::Architectures=arm64 -oAPT::Sandbox::User=root
        -oDir::State::Lists="$dir/apt/lists" -oDir::State::status="$dir/apt/status"
        -oDir::Cache="$dir/apt/cache" -oDebug::NoLocking=1)
    "${apt[@]}" update || true # another vendor's source may have nothing for arm64
    "${apt[@]}" install -y --no-install-recommends --download-only python3 libstdc++6 >/dev/null
    for package in "$dir"/apt/cache/archives/*.deb; do dpkg -x "$package" "$dir/root"; done
    rm -r "$dir/apt"
    touch "$dir/root/complete"
}

python_version() { basename "$dir"/root/usr/bin/python3.[0-9]*[0-9] | sed 's/python//'; }

# into FOLDER PACKAGES...: wheels for arm64, whatever this machine is.
into() {
    "$PYTHON" -m pip install --quiet --upgrade --target "$dir/$1" --python-version "$(python_version)" \
        --implementation cp --only-binary=:all: --platform manylinux_2_28_aarch64 \
        --platform manylinux_2_27_aarch64 --platform manylinux_2_17_aarch64 \
        --platform manylinux2014_aarch64 "${@:2}"
}

# pi CPU LIBRARY ARGUMENTS...: Python on such a CPU. The emulator shows this machine's own
# /proc/cpuinfo, so the library is named.
pi() {
    env -i HOME="$dir" PATH="$PATH" qemu-aarch64-static -L "$dir/root" -cpu "$1" ${2:+-E TINYCNN_CPU="$2"} \
        -E PYTHONPATH="$dir/site:$dir/tests-site" -E PYTHONDONTWRITEBYTECODE=1 \
        -E TINYCNN_TEST_BACKEND=native "$dir/root/usr/bin/python$(python_version)" -P "${@:3}"
}

if [ $# -gt 0 ]; then
    pi "${PI_CPU-cortex-a72}" "${PI_CPU-cortex-a72}" "$@"
    exit
fi

step "an aarch64 Python"
install_tools
unpack_python
pi max '' -c 'import platform, sys; print(sys.version, platform.machine())'

step "the wheel, and what it depends on"
rm -rf "$dir/site" "$dir/dist"
"$PYTHON" "$here/tools/wheel.py" --machine aarch64 --output "$dir/dist"
into site "$dir"/dist/*.whl
[ -d "$dir/tests-site" ] || into tests-site pytest

step "tinycnn info on a Pi 4"
cd "$dir" # nothing may come from the checkout
pi cortex-a72 cortex-a72 -m tinycnn.cli info

studies=$here/demos/sample_studies
(cd "$here" && "$PYTHON" -m tinycnn.cli predict "$studies" --json --backend numpy) >"$dir/here.json"
for pair in 'cortex-a72 cortex-a72' 'cortex-a76 cortex-a76' 'cortex-a53 armv8-a'; do
    read -r cpu library <<<"$pair"
    step "self-tests and sample studies on $cpu with library $library, against the reference here"
    pi "$cpu" "$library" - <<'PYTHON'
import tinycnn, tinycnn.weights
for name in tinycnn.weights.names():  # a model replays its self-test when it is loaded
    session = tinycnn.load(name)
    assert session.backend == "native" and session.model.self_test, (name, session.backend)
    print(name, "passes its self-test with backend", session.backend)
PYTHON
    pi "$cpu" "$library" -m tinycnn.cli predict "$studies" --json >"$dir/$cpu.json"
    "$PYTHON" "$here/tests/pi/compare_predictions.py" "$dir/here.json" "$dir/$cpu.json"
done
pi cortex-a72 cortex-a72 -m tinycnn.cli predict "$studies/XR_WRIST"

step "the kernel tests, on NEON"
rm -rf "$dir/checkout"
mkdir "$dir/checkout" # the tests without the sources: they must find the installed wheel
cp -r "$here/tests" "$here/pyproject.toml" "$dir/checkout"
cd "$dir/checkout"
pi cortex-a72 cortex-a72 -m pytest -q -p no:cacheprovider -o addopts=--import-mode=importlib tests/engine/test_backends.py
