// Any bytes as the manifest of a backup: refused with an Error, or such that what follows from it is safe:
// the members are plain files of one folder, each once, and the record survives a round trip.
#include "daemon/backup_manifest.hpp"
#include "lib/error.hpp"

#include <cstdint>
#include <cstdlib>
#include <set>
#include <string_view>

namespace {

void expect(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void check(const capsul::BackupManifest& manifest) {
    std::set<std::string> names;
    std::uint64_t total = 0;
    for (const capsul::BackupMember& member : manifest.members) {
        expect(member.name.find('/') == std::string::npos && !member.name.starts_with('.'));
        expect(names.insert(member.name).second && member.name != capsul::backup_manifest_file);
        expect(member.size > 0 && total + member.size > total);
        total += member.size;
    }
    expect(names.contains("disk.qcow2"));
    const std::string text = capsul::backup_manifest_text(manifest);
    expect(capsul::backup_manifest_text(capsul::parse_backup_manifest(text)) == text);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        check(capsul::parse_backup_manifest(text));
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch): refusing is right
    }
    return 0;
}
