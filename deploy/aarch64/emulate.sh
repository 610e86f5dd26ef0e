#!/bin/sh
# An emulated 64-bit ARM machine with the device agent on it: FOLDER/nas-agent is then the agent, under qemu.
#
#   deploy/aarch64/emulate.sh FOLDER
#   FOLDER/nas-agent --server http://127.0.0.1:8000 --code nas_code_… --state FOLDER/agent.json
#
# Nothing is installed on this machine. FOLDER gets qemu 10 (an x86-64 Debian package; ONNX Runtime 1.31 crashes
# under 7.2), Debian's arm64 Python and what it needs, and the agent with its dependencies' aarch64 wheels.
# Needs apt-get, dpkg-deb, Debian's keyring, a Python with pip and hatchling, and a network.
#
# It shows that agent, protocol and models work on another instruction set. It says nothing about how fast
# anything is on a real board: the emulator translates instructions, and its times rank networks by that.
set -eu

[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
project=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

# fetch ARCHITECTURE SUITE PACKAGE…: the packages and all they need into $folder/apt-ARCHITECTURE, by an
# apt that knows nothing of this machine's own packages.
fetch() {
    architecture=$1 suite=$2 apt=$folder/apt-$1
    shift 2
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/none"
    : > "$apt/status"
    echo "deb [signed-by=$keyring] $mirror $suite main" > "$apt/sources.list"
    cat > "$apt/apt.conf" <<CONF
APT::Architecture "$architecture";
APT::Architectures { "$architecture"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State::lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "$apt/none";
CONF
    APT_CONFIG=$apt/apt.conf apt-get -q update
    APT_CONFIG=$apt/apt.conf apt-get -q -y --download-only install "$@"
}

unpack() {  # FOLDER_OF_PACKAGES TARGET
    mkdir -p "$2"
    for package in "$1"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$2"
    done
}

fetch amd64 trixie qemu-user
unpack "$folder/apt-amd64" "$folder/qemu"
fetch arm64 bookworm python3-minimal libpython3-stdlib libstdc++6
unpack "$folder/apt-arm64" "$folder/sysroot"

rm -rf "$folder/wheel" "$folder/site"
(cd "$project/agent" && "$python" -m hatchling build -t wheel -d "$folder/wheel")
"$python" -m pip install --target "$folder/site" --only-binary=:all: --python-version 3.11 --implementation cp \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
    "$folder"/wheel/*.whl

cat > "$folder/nas-agent" <<RUN
#!/bin/sh
# Made by deploy/aarch64/emulate.sh: the device agent on an emulated aarch64 machine.
PYTHONPATH='$folder/site' exec '$folder/qemu/usr/bin/qemu-aarch64' -L '$folder/sysroot' \\
    '$folder/sysroot/usr/bin/python3.11' -m predictors.agent "\$@"
RUN
chmod +x "$folder/nas-agent"
echo "ready: $folder/nas-agent"
