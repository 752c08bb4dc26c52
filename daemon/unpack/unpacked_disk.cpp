#include "daemon/unpack/unpacked_disk.hpp"

#include "lib/error.hpp"
#include "lib/size.hpp"

#include <fcntl.h>
#include <fmt/format.h>

namespace capsul::unpack {

UnpackedDisk::UnpackedDisk(const std::filesystem::path& path, std::uint64_t most)
    : fd_(open_file(path, O_WRONLY)), writer_(fd_.get(), "unpacking the disk", space_reserve), most_(most) {}

void UnpackedDisk::write(std::string_view piece) {
    if (piece.size() > most_ - writer_.size()) {
        throw Error(ErrorCode::too_large,
                    fmt::format("unpacked, the disk has more than the {} allowed", human_size(most_)),
                    "max_size under [image] in capsuld.toml is the limit");
    }
    writer_.write(piece);
}

} // namespace capsul::unpack
