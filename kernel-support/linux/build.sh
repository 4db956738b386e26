#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Builds one variant of the kernel, inside a Debian sid root that has linux-source-7.* and the tools that a kernel with
# Rust wants. `cargo xtask guest kernel` makes the root and calls this.
#
#   build.sh DIR VARIANT    VARIANT: c, rust, debug, vfio, seeded (rust, of a DIR with faults); or a step: patch only makes
#                           /build/patched, rustfmt and clippy look at it. DIR: this directory's content, as core/ and linux/
#
# The tree is /build/linux, the results /build/o-VARIANT/arch/x86/boot/bzImage, modules in /build/o-VARIANT/installed, and
# /build/tests. The tree is unpacked
# once per version of the source package; the files that the series touches are made from the pristine ones each time and
# only replaced if they differ, so that a change builds what it changes.
set -eu
in=$1 variant=$2 jobs=${JOBS:-$(nproc)}
cd /build

source=$(ls /usr/src/linux-source-7.*.tar.xz | sort -V | tail -1)
version=$(basename "$source" .tar.xz)-$(sha256sum "$source" | cut -c1-16)
if [ "$(cat linux.version 2>/dev/null || true)" != "$version" ]; then
    echo "unpacking $source"
    rm -rf linux orig o-* tests linux.version
    tar xf "$source"
    mv "$(basename "$source" .tar.xz)" linux
    echo "$version" >linux.version
fi

# The series: hooks into files that are there, and files that are not.
touched=$(sed -n 's,^--- a/,,p' "$in"/linux/hooks/*.patch)
rm -rf patched
for file in $touched; do
    mkdir -p "orig/$(dirname "$file")" "patched/$(dirname "$file")"
    [ -f "orig/$file" ] || cp "linux/$file" "orig/$file"
    cp "orig/$file" "patched/$file"
done
for hook in "$in"/linux/hooks/*.patch; do
    patch -s -d patched -p1 --fuzz=0 --no-backup-if-mismatch <"$hook"
done
(cd "$in/linux" && find drivers -type f) | while read -r file; do
    mkdir -p "patched/$(dirname "$file")"
    cp "$in/linux/$file" "patched/$file"
done
mkdir -p patched/drivers/iommu/iopf/sva_core
# `Std` is for hosts: Kbuild passes no feature, so it is not compiled. Without its file rustfmt would not go on.
cp "$in"/core/*.rs patched/drivers/iommu/iopf/sva_core/
(cd patched && find . -type f) | while read -r file; do
    mkdir -p "linux/$(dirname "$file")"
    cmp -s "patched/$file" "linux/$file" || cp "patched/$file" "linux/$file"
done

case $variant in
patch) exit 0 ;;
rustfmt)
    # Linux's own files are its own affair.
    exec rustfmt --check --config-path linux/.rustfmt.toml linux/drivers/iommu/iopf/iommu_iopf.rs ;;
clippy)
    # Kbuild's command for the object, with clippy in rustc's place as CLIPPY=1 puts it there, and without building the
    # crates below it once more.
    made=o-rust/drivers/iommu/iopf/.iommu_iopf.o.cmd
    [ -f $made ] || { echo "build.sh: clippy: the rust variant is not built" >&2; exit 2; }
    command=$(sed -n 's/^savedcmd_[^ ]* := //p' $made | sed 's, rustc , clippy-driver ,; s,iommu_iopf\.o,iommu_iopf.clippy,g')
    cd o-rust
    RUSTC_BOOTSTRAP=1 CLIPPY_CONF_DIR=/build/linux exec sh -c "$command" ;;
c) fragments='mock device' ;;
rust | seeded) fragments='mock device rust' ;;
debug) fragments='mock device rust debug' ;;
vfio) fragments=vfio ;;
*) echo "build.sh: no variant $variant" >&2; exit 2 ;;
esac
fragments=$(for name in $fragments; do printf '%s ' "$in/linux/config/$name.config"; done)
out=/build/o-$variant
wanted=$(cat $fragments patched/drivers/iommu/Kconfig patched/drivers/iommu/iommufd/Kconfig | sha256sum)
cd linux
if [ "$(cat $out/fragments 2>/dev/null || true)" != "$wanted" ]; then
    # Another variant that is built already has most of this one's objects.
    [ -d $out ] || { [ $variant != c ] || [ ! -d /build/o-rust ] || cp -a /build/o-rust $out; }
    [ -d $out ] || { [ $variant != rust ] || [ ! -d /build/o-c ] || cp -a /build/o-c $out; }
    [ -d $out ] || { [ $variant != seeded ] || [ ! -d /build/o-rust ] || cp -a /build/o-rust $out; }
    mkdir -p $out
    make -s LLVM=1 O=$out tinyconfig >/dev/null
    cat $fragments >>$out/.config
    make -s LLVM=1 O=$out olddefconfig 2>/dev/null
    for option in $(cat $fragments | sed -n 's/^\(CONFIG_[A-Z0-9_]*=[ym]\)$/\1/p'); do
        grep -qx "$option" $out/.config || echo "build.sh: $variant: $option did not stay" >&2
    done
    echo "$wanted" >$out/fragments
fi
make LLVM=1 O=$out -j"$jobs" bzImage
# Its guest is made by xtask.
[ $variant != vfio ] || exit 0
# For tier 1. Which of them needs which is in each of them.
if [ $variant != seeded ]; then
    make LLVM=1 O=$out -j"$jobs" modules
    rm -rf $out/installed
    make -s LLVM=1 O=$out INSTALL_MOD_PATH=$out/installed DEPMOD=true modules_install
fi

# What runs inside: the kernel's own selftests, unchanged but for that bound, and the vehicle.
mkdir -p /build/tests /build/headers
[ -d /build/headers/usr/include/linux ] || make -s LLVM=1 O=/build/headers headers
selftests=/build/harness/tools/testing/selftests
build() { # name, sources and libraries
    name=$1
    shift
    gcc -O2 -static -D_GNU_SOURCE= -isystem /build/headers/usr/include -I"$selftests" \
        -Idrivers/iommu/iommufd -o "/build/tests/$name" "$@"
}
# The harness kills a test after 30 seconds, which a debug build on a translated CPU needs now and then. The tests name
# headers by their place in the tree.
rm -rf /build/harness
mkdir -p "$selftests"
ln -s /build/linux/drivers /build/harness/drivers
cp -r tools/testing/selftests/*.h tools/testing/selftests/iommu "$selftests/"
sed -i 's/^#define TEST_TIMEOUT_DEFAULT 30$/#define TEST_TIMEOUT_DEFAULT 600/' "$selftests/kselftest_harness.h"
grep -q 'TEST_TIMEOUT_DEFAULT 600' "$selftests/kselftest_harness.h"
for test in iommufd iommufd_fail_nth; do
    build $test -w "$selftests/iommu/$test.c" -lcap
done
build vehicle -Wall -Wextra -Wno-missing-field-initializers "$in/tier2/vehicle.c" -lpthread

# The guest: busybox, its init, the tests.
rm -rf /build/initrd
mkdir -p /build/initrd/bin /build/initrd/tests
cp /bin/busybox /build/initrd/bin/busybox
cp "$in/tier2/init" /build/initrd/init
cp /build/tests/* /build/initrd/tests/
strip /build/initrd/tests/*
(cd /build/initrd && find . | cpio -o -H newc --quiet | gzip -1) >/build/initrd.gz
