#include "daemon/catalogue/builtin.hpp"

#include <array>
#include <string_view>

namespace capsul {
namespace {

struct SourceRow {
    std::string_view name;
    SourceKind kind;
    std::string_view url;
    std::string_view keyring;      ///< empty: what it publishes is not signed, or by nobody that can be known
    std::string_view keyring_from; ///< a hint
};

struct ImageRow {
    std::string_view source;
    std::string_view name;
    std::string_view aliases; ///< words
    std::string_view title;
    std::string_view file;
    std::string_view sums;
    std::string_view signature;
    std::string_view image_signature;
    std::string_view architectures; ///< words; empty: any
};

constexpr std::string_view ask_the_publisher =
    "put the publisher's public keys there, as `gpg --export` writes them, once you trust them";

constexpr std::array<SourceRow, 7> sources{{
    {"debian", SourceKind::folder, "https://cloud.debian.org/images/cloud/", "", ""},
    {"ubuntu", SourceKind::simplestreams, "https://cloud-images.ubuntu.com/releases/",
     "/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg",
     "it is in Ubuntu's package ubuntu-keyring, which Debian 12 does not have"},
    {"fedora", SourceKind::folder, "https://dl.fedoraproject.org/pub/fedora/linux/releases/",
     "/etc/capsul/keyrings/fedora.gpg", "put https://fedoraproject.org/fedora.gpg there, once you trust it"},
    {"alpine", SourceKind::folder, "https://dl-cdn.alpinelinux.org/alpine/",
     "/etc/capsul/keyrings/alpine.gpg", ask_the_publisher},
    {"rocky", SourceKind::folder, "https://dl.rockylinux.org/pub/rocky/", "", ""},
    {"opensuse", SourceKind::folder, "https://download.opensuse.org/", "/etc/capsul/keyrings/opensuse.gpg",
     ask_the_publisher},
    {"arch", SourceKind::folder, "https://geo.mirror.pkgbuild.com/images/", "/etc/capsul/keyrings/arch.gpg",
     ask_the_publisher},
}};

// clang-format off
constexpr std::array<ImageRow, 15> images{{
    {"debian", "debian-13", "debian debian-trixie", "Debian 13 (trixie)",
     "debian-13-genericcloud-{debian_arch}.qcow2", "trixie/latest/SHA512SUMS", "", "", "x86_64 aarch64"},
    {"debian", "debian-12", "debian-bookworm", "Debian 12 (bookworm)",
     "debian-12-genericcloud-{debian_arch}.qcow2", "bookworm/latest/SHA512SUMS", "", "", "x86_64 aarch64"},
    {"debian", "debian-11", "debian-bullseye", "Debian 11 (bullseye)",
     "debian-11-genericcloud-{debian_arch}.qcow2", "bullseye/latest/SHA512SUMS", "", "", "x86_64 aarch64"},
    // A release's images stay what they are on the day it comes out, so that their names are known.
    {"fedora", "fedora-44", "fedora", "Fedora 44",
     "Fedora-Cloud-Base-Generic-{version}.{arch}.qcow2",
     "44/Cloud/{arch}/images/Fedora-Cloud-44-1.7-{arch}-CHECKSUM", "clearsigned", "", "x86_64 aarch64"},
    {"fedora", "fedora-43", "", "Fedora 43",
     "Fedora-Cloud-Base-Generic-{version}.{arch}.qcow2",
     "43/Cloud/{arch}/images/Fedora-Cloud-43-1.6-{arch}-CHECKSUM", "clearsigned", "", "x86_64 aarch64"},
    {"alpine", "alpine-3-24", "alpine", "Alpine 3.24",
     "alpine-{version}-{arch}-cloudinit-r{version}.qcow2",
     "v3.24/releases/cloud/{file}.sha512", "", ".asc", "x86_64 aarch64"},
    // Named for how it boots: BIOS where there is one.
    {"alpine", "alpine-3-23", "", "Alpine 3.23",
     "nocloud_alpine-{version}-{arch}-bios-cloudinit-r{version}.qcow2",
     "v3.23/releases/cloud/{file}.sha512", "", ".asc", "x86_64"},
    {"alpine", "alpine-3-23", "", "Alpine 3.23",
     "nocloud_alpine-{version}-{arch}-uefi-cloudinit-r{version}.qcow2",
     "v3.23/releases/cloud/{file}.sha512", "", ".asc", "aarch64"},
    {"rocky", "rocky-10", "rocky", "Rocky Linux 10",
     "Rocky-10-GenericCloud-Base.latest.{arch}.qcow2",
     "10/images/{arch}/Rocky-10-GenericCloud-Base.latest.{arch}.qcow2.CHECKSUM", "", "", ""},
    {"rocky", "rocky-9", "", "Rocky Linux 9",
     "Rocky-9-GenericCloud-Base-{version}.{arch}.qcow2", "9/images/{arch}/CHECKSUM", "", "", ""},
    {"rocky", "rocky-8", "", "Rocky Linux 8",
     "Rocky-8-GenericCloud-Base-{version}.{arch}.qcow2", "8/images/{arch}/CHECKSUM", "", "", "x86_64 aarch64"},
    {"opensuse", "opensuse-leap-16-0", "opensuse opensuse-leap", "openSUSE Leap 16.0",
     "Leap-16.0-Minimal-VM.{arch}-Cloud.qcow2",
     "distribution/leap/16.0/appliances/Leap-16.0-Minimal-VM.{arch}-Cloud.qcow2.sha256", ".asc", "",
     "x86_64 aarch64"},
    {"opensuse", "opensuse-tumbleweed", "", "openSUSE Tumbleweed",
     "openSUSE-Tumbleweed-Minimal-VM.{arch}-Cloud.qcow2",
     "tumbleweed/appliances/openSUSE-Tumbleweed-Minimal-VM.{arch}-Cloud.qcow2.sha256", ".asc", "", "x86_64"},
    {"opensuse", "opensuse-tumbleweed", "", "openSUSE Tumbleweed",
     "openSUSE-Tumbleweed-Minimal-VM.{arch}-Cloud.qcow2",
     "ports/aarch64/tumbleweed/appliances/openSUSE-Tumbleweed-Minimal-VM.{arch}-Cloud.qcow2.sha256", ".asc", "",
     "aarch64"},
    {"arch", "arch", "archlinux", "Arch Linux",
     "Arch-Linux-{arch}-cloudimg.qcow2", "latest/Arch-Linux-{arch}-cloudimg.qcow2.SHA256", "", ".sig", "x86_64"},
}};
// clang-format on

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        words.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

template <class T>
std::optional<T> parsed(std::string_view text) {
    return text.empty() ? std::nullopt : std::optional<T>(T::parse(text));
}

FolderImage image_of(const ImageRow& row) {
    FolderImage image;
    image.name = Name::parse(row.name);
    for (const std::string_view alias : words_of(row.aliases)) {
        image.aliases.push_back(Name::parse(alias));
    }
    image.title = row.title;
    image.file = FilePattern::parse(row.file);
    image.sums = SumsPath::parse(row.sums);
    image.signature = parsed<SignatureForm>(row.signature);
    image.image_signature = parsed<SignatureForm>(row.image_signature);
    for (const std::string_view word : words_of(row.architectures)) {
        image.architectures.push_back(enum_from<Architecture>(word));
    }
    return image;
}

BuiltinSource source_of(const SourceRow& row) {
    BuiltinSource builtin;
    builtin.source.name = Name::parse(row.name);
    builtin.source.kind = row.kind;
    builtin.source.url = Url::parse(row.url);
    builtin.source.keyring = parsed<KeyringPath>(row.keyring);
    builtin.keyring_from = row.keyring_from;
    for (const ImageRow& image : images) {
        if (image.source == row.name) {
            builtin.source.image.push_back(image_of(image));
        }
    }
    return builtin;
}

} // namespace

std::vector<BuiltinSource> builtin_sources() {
    std::vector<BuiltinSource> list;
    for (const SourceRow& row : sources) {
        list.push_back(source_of(row));
    }
    return list;
}

} // namespace capsul
