#include "daemon/unpack/backup.hpp"

#include "daemon/unpack/archive_reader.hpp"
#include "daemon/unpack/progress.hpp"
#include "daemon/unpack/unpacked_disk.hpp"
#include "lib/error.hpp"

#include <fmt/format.h>

namespace capsul::unpack {
namespace {

constexpr const char* manifest = "manifest.json";
constexpr const char* advice = "copy it once more from where it was kept, or take another backup";

[[noreturn]] void refuse_stranger(const std::string& why) {
    throw Error(ErrorCode::invalid, "the file is no backup of a VM: " + why,
                "give one that `capsulctl vm backup` has written");
}

[[noreturn]] void refuse_damaged(const std::string& why) {
    throw Error(ErrorCode::verification, "the backup is damaged: " + why, advice);
}

/// At the first member, which is the manifest.
ArchiveReader opened(const std::filesystem::path& file) {
    ArchiveReader reader(file, ArchiveReader::Kind::backup);
    const std::optional<Entry> first = reader.next();
    if (reader.layers() > 1) {
        refuse_stranger("it is compressed more than once");
    }
    if (!first || first->name != manifest || !first->is_file) {
        refuse_stranger(fmt::format("it does not begin with {}", manifest));
    }
    return reader;
}

/// The next member must be this one.
void require_next(ArchiveReader& reader, const std::string& name) {
    const std::optional<Entry> entry = reader.next();
    if (!entry) {
        refuse_damaged(name + " is missing");
    }
    if (entry->name != name || !entry->is_file) {
        refuse_damaged(fmt::format("{} is where {} should be", entry->name, name));
    }
}

void write_member(ArchiveReader& reader, const WantedMember& member, Progress& progress) {
    UnpackedDisk file(member.target, member.size);
    std::uint64_t written = 0;
    for (std::string_view piece = reader.read(); !piece.empty(); piece = reader.read()) {
        written += piece.size();
        if (written > member.size) {
            refuse_damaged(fmt::format("{} is longer than its manifest says", member.name));
        }
        file.write(piece);
        progress.tell(reader.used());
    }
    if (written != member.size) {
        refuse_damaged(fmt::format("{} is shorter than its manifest says", member.name));
    }
    file.finish();
}

/// What libarchive says of a broken file comes with advice about images.
template <class Work>
void advised(const Work& work) {
    try {
        work();
    } catch (const Error& error) {
        throw error.code() == ErrorCode::verification ? Error(error.code(), error.what(), advice) : error;
    }
}

} // namespace

void unpack_backup_manifest(const std::filesystem::path& file, const std::filesystem::path& target,
                            std::uint64_t most) {
    advised([&] {
        ArchiveReader reader = opened(file);
        UnpackedDisk text(target, most);
        std::uint64_t written = 0;
        for (std::string_view piece = reader.read(); !piece.empty(); piece = reader.read()) {
            written += piece.size();
            if (written > most) {
                refuse_stranger("its manifest is too long");
            }
            text.write(piece);
        }
        text.finish();
        static_cast<void>(reader.next()); // so that the checksum of what capsul has sealed is verified
    });
}

void unpack_backup(const std::filesystem::path& file, const std::vector<WantedMember>& members) {
    advised([&] {
        ArchiveReader reader = opened(file);
        Progress progress(reader.size());
        for (const WantedMember& member : members) {
            require_next(reader, member.name);
            write_member(reader, member, progress);
        }
        if (const std::optional<Entry> more = reader.next()) {
            refuse_damaged(fmt::format("{} is not in its manifest", more->name));
        }
    });
}

} // namespace capsul::unpack
