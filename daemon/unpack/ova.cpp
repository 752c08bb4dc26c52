#include "daemon/unpack/ova.hpp"

#include "daemon/unpack/archive_reader.hpp"
#include "daemon/unpack/manifest.hpp"
#include "daemon/unpack/progress.hpp"
#include "daemon/unpack/unpacked_disk.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <map>
#include <optional>

namespace capsul::unpack {
namespace {

constexpr std::size_t most_members = 64;
constexpr std::size_t longest_text = std::size_t{1} << 20U; ///< of a descriptor or manifest

[[noreturn]] void refuse(const std::string& why, const std::string& hint = {}) {
    throw Error(ErrorCode::invalid, why, hint);
}

/// All digests that a manifest may have: it may come after the files that it is about.
struct Digests {
    Hash sha1{Hash::Kind::sha1};
    Hash sha256{Hash::Kind::sha256};
    Hash sha512{Hash::Kind::sha512};

    void add(std::string_view piece) {
        sha1.add(piece);
        sha256.add(piece);
        sha512.add(piece);
    }
    std::map<Hash::Kind, std::string> finish() {
        return {{Hash::Kind::sha1, sha1.finish()},
                {Hash::Kind::sha256, sha256.finish()},
                {Hash::Kind::sha512, sha512.finish()}};
    }
};

class OvaReader {
  public:
    OvaReader(const std::filesystem::path& file, const std::filesystem::path& target, std::uint64_t most)
        : reader_(file, ArchiveReader::Kind::tar), target_(target), most_(most), progress_(reader_.size()) {}

    void run() {
        while (const std::optional<Entry> entry = reader_.next()) {
            take(*entry);
        }
        if (!has_descriptor_) {
            refuse("the file is a tar archive, and no OVA: it has no .ovf",
                   "unpack it first and import the disk that is in it: tar -xf FILE");
        }
        if (!disk_) {
            refuse("the OVA has no disk (.vmdk)");
        }
        disk_->finish();
        check_manifest();
    }

  private:
    /// Nothing is ever written under a name from the archive; a name that tries to lead elsewhere is a sign
    /// of ill will all the same.
    void take(const Entry& entry) {
        const std::string& name = entry.name;
        if (digests_.size() >= most_members) {
            refuse(fmt::format("the archive has more than {} files", most_members));
        }
        if (name.empty() || name.starts_with('.') || name.find('/') != std::string::npos || !entry.is_file) {
            refuse("the archive has something other than plain files in one folder: " + name,
                   "an OVA has none: unpack it first and import the disk that is in it");
        }
        if (digests_.contains(name)) {
            refuse("the archive has two files of the same name: " + name);
        }
        const bool is_disk = name.ends_with(".vmdk");
        has_descriptor_ = has_descriptor_ || name.ends_with(".ovf");
        if (is_disk && disk_) {
            refuse("the OVA has several disks",
                   "unpack it (tar -xf FILE), and import the one with the system");
        }
        if (is_disk) {
            disk_.emplace(target_, most_);
        }
        copy(name, is_disk);
    }

    void copy(const std::string& name, bool is_disk) {
        const bool is_text = name.ends_with(".ovf") || name.ends_with(".mf");
        Digests digests;
        std::string text;
        for (std::string_view piece = reader_.read(); !piece.empty(); piece = reader_.read()) {
            total_ += piece.size();
            if (total_ > reader_.size()) {
                refuse("the archive has files with holes", "an OVA has none");
            }
            digests.add(piece);
            if (is_disk) {
                disk_->write(piece);
            } else if (is_text) {
                text += piece;
            }
            if (text.size() > longest_text) {
                refuse(fmt::format("{} has more than {} bytes", name, longest_text));
            }
            progress_.tell(reader_.used());
        }
        digests_[name] = digests.finish();
        if (name.ends_with(".mf")) {
            manifest_ = parse_manifest(text);
        }
    }

    void check_manifest() const {
        if (!manifest_) {
            return;
        }
        for (const auto& [name, wanted] : *manifest_) {
            const auto found = digests_.find(name);
            if (found == digests_.end()) {
                throw Error(ErrorCode::verification, "the OVA lacks a file of its manifest: " + name,
                            "fetch it again");
            }
            if (found->second.at(wanted.kind) != wanted.hex) {
                throw Error(ErrorCode::verification,
                            fmt::format("{} is not what the OVA's manifest says", name),
                            "it is damaged: fetch it again");
            }
        }
        const auto is_listed_disk = [](const auto& line) { return line.first.ends_with(".vmdk"); };
        if (std::ranges::none_of(*manifest_, is_listed_disk)) {
            throw Error(ErrorCode::verification, "the OVA's manifest says nothing of its disk",
                        "take the .mf out of it to import it unchecked");
        }
    }

    ArchiveReader reader_;
    const std::filesystem::path target_;
    const std::uint64_t most_;
    Progress progress_;
    std::uint64_t total_ = 0; ///< of all files
    std::optional<UnpackedDisk> disk_;
    bool has_descriptor_ = false;
    std::map<std::string, std::map<Hash::Kind, std::string>> digests_;
    std::optional<std::map<std::string, ManifestDigest>> manifest_;
};

} // namespace

void unpack_ova(const std::filesystem::path& file, const std::filesystem::path& target, std::uint64_t most) {
    OvaReader(file, target, most).run();
}

} // namespace capsul::unpack
