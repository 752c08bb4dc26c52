#include "daemon/unpack/compressed_disk.hpp"

#include "daemon/unpack/archive_reader.hpp"
#include "daemon/unpack/progress.hpp"
#include "daemon/unpack/unpacked_disk.hpp"
#include "lib/error.hpp"

#include <fmt/format.h>

namespace capsul::unpack {
namespace {

/// gzip and bzip2 take no notice of what comes after their end.
void refuse_trailing_bytes(const ArchiveReader& reader) {
    if (reader.used() < reader.size()) {
        throw Error(ErrorCode::verification,
                    fmt::format("the file is damaged: {} bytes stand after the end of what is compressed",
                                reader.size() - reader.used()),
                    "fetch it again, and give its checksum with --sha256 or --sha512");
    }
}

} // namespace

void unpack_compressed(const std::filesystem::path& file, const std::filesystem::path& target,
                       std::uint64_t most) {
    ArchiveReader reader(file, ArchiveReader::Kind::compressed);
    if (!reader.next()) {
        throw Error(ErrorCode::invalid, "the compressed file holds nothing", "give a disk image");
    }
    if (reader.layers() > 1) {
        throw Error(ErrorCode::invalid, "the file is compressed more than once", "unpack it once first");
    }
    UnpackedDisk disk(target, most);
    Progress progress(reader.size());
    for (std::string_view piece = reader.read(); !piece.empty(); piece = reader.read()) {
        disk.write(piece);
        progress.tell(reader.used());
    }
    refuse_trailing_bytes(reader);
    disk.finish();
}

} // namespace capsul::unpack
