#include "lib/sparse_writer.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace capsul {
namespace {

constexpr std::size_t block_size = std::size_t{64} << 10U;

bool is_all_zero(std::string_view block) {
    return block.front() == '\0' && std::memcmp(block.data(), block.data() + 1, block.size() - 1) == 0;
}

} // namespace

void SparseWriter::write(std::string_view piece) {
    for (; !piece.empty(); piece.remove_prefix(std::min(block_size, piece.size()))) {
        const std::string_view block = piece.substr(0, block_size);
        size_ += block.size();
        if (!is_all_zero(block)) {
            space_.before(block.size());
            write_all(fd_, block, what_);
        } else if (::lseek(fd_, static_cast<off_t>(size_), SEEK_SET) < 0) {
            throw_errno(errno, what_);
        }
    }
}

void SparseWriter::finish() const {
    if (::ftruncate(fd_, static_cast<off_t>(size_)) != 0) {
        throw_errno(errno, what_);
    }
}

} // namespace capsul
