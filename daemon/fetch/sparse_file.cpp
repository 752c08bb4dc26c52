#include "daemon/fetch/sparse_file.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace capsul::fetch {
namespace {

/// Smaller holes are not worth a call each. The clusters of a qcow2 file are as large.
constexpr std::size_t block_bytes = std::size_t{64} * 1024;

bool is_zero(std::string_view data) {
    return data.empty() ||
           (data[0] == '\0' && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

} // namespace

SparseFile::SparseFile(std::filesystem::path path, Bytes max_size, Space space)
    : path_(std::move(path)), max_size_(max_size), space_(std::move(space)),
      fd_(open_file(path_, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW)) {}

void SparseFile::check_size(std::uint64_t size) const {
    if (size > max_size_.count()) {
        throw Error(
            ErrorCode::too_large,
            fmt::format("unpacked, the disk is larger than the {} allowed", human_size(max_size_.count())),
            "max_size under [image] in capsuld.toml is the limit");
    }
}

void SparseFile::write(std::string_view data, std::uint64_t offset) {
    check_size(offset); // before what could overflow
    check_size(offset + data.size());
    size_ = std::max(size_, offset + data.size());
    while (!data.empty()) {
        // To the next block's beginning, so that what is zero in one place of the disk is so in one block.
        const std::size_t length = std::min<std::size_t>(data.size(), block_bytes - offset % block_bytes);
        if (!is_zero(data.substr(0, length))) {
            write_block(data.substr(0, length), offset);
        }
        data.remove_prefix(length);
        offset += length;
    }
}

void SparseFile::write_block(std::string_view block, std::uint64_t offset) {
    space_.used(block.size());
    while (!block.empty()) {
        const ssize_t written = ::pwrite(fd_.get(), block.data(), block.size(), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            throw_errno(errno, path_.string());
        }
        block.remove_prefix(static_cast<std::size_t>(written));
        offset += static_cast<std::uint64_t>(written);
    }
}

void SparseFile::finish(std::uint64_t size) {
    check_size(size);
    size_ = std::max(size_, size);
    if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0 || ::fsync(fd_.get()) != 0) {
        throw_errno(errno, path_.string());
    }
}

} // namespace capsul::fetch
