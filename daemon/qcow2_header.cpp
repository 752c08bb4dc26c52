#include "daemon/qcow2_header.hpp"

#include "lib/error.hpp"
#include "lib/size.hpp"

#include <fmt/format.h>
#include <string>

namespace capsul {
namespace {

constexpr std::size_t v2_length = 72;
constexpr std::size_t v3_length = 104;
constexpr std::uint32_t most_snapshots = 64;
constexpr std::uint32_t longest_base_name = 1023;
constexpr std::uint64_t smallest_snapshot_entry = 40;

// Incompatible feature bits.
constexpr std::uint64_t dirty = 1U << 0U;
constexpr std::uint64_t corrupt = 1U << 1U;
constexpr std::uint64_t external_data = 1U << 2U;
constexpr std::uint64_t compression_type = 1U << 3U;
constexpr std::uint64_t extended_l2 = 1U << 4U;

constexpr std::uint32_t extension_end = 0;
constexpr std::uint32_t extension_backing_format = 0xE2792ACA;
constexpr std::uint32_t extension_encryption = 0x0537BE77;
constexpr std::uint32_t extension_data_file = 0x44415441;

[[noreturn]] void refuse(const std::string& why, const std::string& hint = {}) {
    throw Error(ErrorCode::invalid, "the qcow2 file " + why, hint);
}

[[noreturn]] void refuse_changed() {
    throw Error(ErrorCode::verification, "is no longer the qcow2 file that capsul made",
                "restore the file, or delete the VM");
}

[[noreturn]] void refuse_damaged(const std::string& why) {
    throw Error(ErrorCode::verification, "the qcow2 file is damaged: " + why,
                "fetch it again, and give its checksum with --sha256 or --sha512");
}

const std::string flatten_hint = "make it whole with: qemu-img convert -O qcow2 FILE whole.qcow2";

/// Big-endian numbers at places in the file's start.
class Reader {
  public:
    explicit Reader(std::string_view bytes) : bytes_(bytes) {}

    [[nodiscard]] std::uint32_t u32(std::size_t offset) const {
        return static_cast<std::uint32_t>(number(offset, sizeof(std::uint32_t)));
    }
    [[nodiscard]] std::uint64_t u64(std::size_t offset) const {
        return number(offset, sizeof(std::uint64_t));
    }

  private:
    [[nodiscard]] std::uint64_t number(std::size_t offset, std::size_t length) const {
        if (offset > bytes_.size() || bytes_.size() - offset < length) {
            refuse_damaged("it ends within its header");
        }
        std::uint64_t value = 0;
        for (const char byte : bytes_.substr(offset, length)) {
            value = (value << 8U) | static_cast<unsigned char>(byte);
        }
        return value;
    }

    std::string_view bytes_;
};

std::uint64_t divide_up(std::uint64_t value, std::uint64_t by) {
    return value / by + (value % by != 0 ? 1 : 0);
}

/// A table of `count` entries must begin at a cluster behind the header and end within the file.
void check_table(const char* name, std::uint64_t offset, std::uint64_t count, std::uint64_t entry_size,
                 std::uint64_t cluster, std::uint64_t file_size) {
    const bool placed = offset >= cluster && offset % cluster == 0 && offset <= file_size;
    if (!placed || count > (file_size - offset) / entry_size) {
        refuse_damaged(fmt::format("its {} lies outside the file", name));
    }
}

void check_features(std::uint64_t features) {
    if ((features & external_data) != 0) {
        refuse("keeps its data in another file", flatten_hint);
    }
    if ((features & corrupt) != 0) {
        refuse("is marked as corrupt", "repair it with: qemu-img check -r all FILE");
    }
    if ((features & dirty) != 0) {
        refuse("was not closed properly (it is marked as dirty)",
               "repair it with: qemu-img check -r all FILE");
    }
    if ((features & ~(compression_type | extended_l2)) != 0) {
        refuse(fmt::format("needs features that capsul does not know (bits {:#x})", features), flatten_hint);
    }
}

/// The fields that only version 3 has; gives the header's length.
std::size_t check_version_3(const Reader& header, std::uint32_t cluster_bits) {
    const std::uint64_t features = header.u64(72);
    check_features(features);
    if (header.u32(96) > 6) {
        refuse_damaged("its reference counts are wider than 64 bits");
    }
    const std::uint32_t length = header.u32(100);
    if (length < v3_length || length % 8 != 0 || length > (std::uint64_t{1} << cluster_bits)) {
        refuse_damaged("its header has an impossible length");
    }
    if ((features & extended_l2) != 0 && cluster_bits < 14) {
        refuse_damaged("it has subclusters in clusters too small for them");
    }
    const std::uint32_t compression = length > v3_length ? header.u32(104) >> 24U : 0;
    if (compression > 1 || (compression != 0) != ((features & compression_type) != 0)) {
        refuse("is compressed in a way that capsul does not know", flatten_hint);
    }
    return length;
}

void check_extensions(const Reader& header, std::size_t offset, std::uint64_t cluster) {
    while (offset + 8 <= cluster) {
        const std::uint32_t type = header.u32(offset);
        const std::uint32_t length = header.u32(offset + 4);
        if (type == extension_end) {
            return;
        }
        if (type == extension_data_file) {
            refuse("names another file for its data", flatten_hint);
        }
        if (type == extension_backing_format) {
            refuse("names the format of a backing file", flatten_hint);
        }
        if (type == extension_encryption) {
            refuse("is encrypted", "decrypt it with qemu-img convert");
        }
        if (length > cluster - offset - 8) {
            refuse_damaged("a header extension leaves the first cluster");
        }
        offset += 8 + (std::size_t{length} + 7) / 8 * 8;
    }
}

void check_virtual_size(std::uint64_t size, std::uint64_t max_size) {
    if (size == 0) {
        refuse("has a size of zero");
    }
    if (size > max_size) {
        throw Error(ErrorCode::too_large,
                    fmt::format("the qcow2 file is a disk of {}, more than the {} allowed", human_size(size),
                                human_size(max_size)),
                    "max_size under [image] in capsuld.toml is the limit");
    }
}

void check_tables(const Reader& header, std::uint64_t size, std::uint64_t cluster, bool has_extended_l2,
                  std::uint64_t file_size) {
    const std::uint64_t l2_entries = cluster / (has_extended_l2 ? 16 : 8);
    const std::uint32_t l1_entries = header.u32(36);
    if (l1_entries < divide_up(size, cluster * l2_entries)) {
        refuse_damaged("its L1 table is too small for its size");
    }
    check_table("L1 table", header.u64(40), l1_entries, 8, cluster, file_size);
    const std::uint32_t refcount_clusters = header.u32(56);
    if (refcount_clusters == 0) {
        refuse_damaged("it has no reference counts");
    }
    // The file may end anywhere in its last cluster.
    check_table("refcount table", header.u64(48), refcount_clusters, cluster, cluster,
                divide_up(file_size, cluster) * cluster);
    const std::uint32_t snapshots = header.u32(60);
    if (snapshots > most_snapshots) {
        refuse(fmt::format("has {} internal snapshots, more than {}", snapshots, most_snapshots),
               "remove them with: qemu-img snapshot -d SNAPSHOT FILE");
    }
    if (snapshots > 0) {
        check_table("snapshot table", header.u64(64), snapshots, smallest_snapshot_entry, cluster, file_size);
    }
}

} // namespace

Qcow2Header check_qcow2_header(std::string_view start, std::uint64_t file_size, std::uint64_t max_size) {
    const Reader header(start);
    if (header.u32(0) != 0x514649FB) {
        refuse("does not begin as one");
    }
    const std::uint32_t version = header.u32(4);
    if (version != 2 && version != 3) {
        refuse(fmt::format("has version {}; capsul takes 2 and 3", version));
    }
    if (header.u64(8) != 0 || header.u32(16) != 0) {
        refuse("has a backing file", flatten_hint);
    }
    const std::uint32_t cluster_bits = header.u32(20);
    if (cluster_bits < 9 || cluster_bits > 21) {
        refuse_damaged("its clusters have an impossible size");
    }
    if (header.u32(32) != 0) {
        refuse("is encrypted", "decrypt it with qemu-img convert");
    }
    const std::uint64_t size = header.u64(24);
    check_virtual_size(size, max_size);
    const std::uint64_t cluster = std::uint64_t{1} << cluster_bits;
    const std::size_t length = version == 3 ? check_version_3(header, cluster_bits) : v2_length;
    const bool has_extended_l2 = version == 3 && (header.u64(72) & extended_l2) != 0;
    check_extensions(header, length, cluster);
    check_tables(header, size, cluster, has_extended_l2, file_size);
    return {version, cluster_bits, size, header.u32(60)};
}

Qcow2Header read_own_qcow2_header(std::string_view start) {
    const Reader header(start);
    const bool is_known = header.u32(0) == 0x514649FB && header.u32(4) == 3;
    // Of the features only compression types and "dirty", which QEMU itself sets and clears, are harmless.
    if (!is_known || header.u32(32) != 0 || (header.u64(72) & ~(dirty | compression_type)) != 0) {
        refuse_changed();
    }
    return {3, header.u32(20), header.u64(24), header.u32(60)};
}

std::string own_qcow2_base(std::string_view start) {
    static_cast<void>(read_own_qcow2_header(start));
    const Reader header(start);
    const std::uint64_t offset = header.u64(8);
    const std::uint32_t length = header.u32(16);
    if (offset == 0) {
        return {};
    }
    if (length > longest_base_name || offset > start.size() || start.size() - offset < length) {
        refuse_changed();
    }
    return std::string(start.substr(offset, length));
}

} // namespace capsul
