#include "daemon/zstd_writer.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <zstd.h>

namespace capsul {
namespace {

constexpr int level = 3; ///< which the program zstd has, too

} // namespace

void ZstdWriter::Free::operator()(ZSTD_CCtx_s* compressor) const noexcept {
    ZSTD_freeCCtx(compressor);
}

ZstdWriter::ZstdWriter(int fd, std::string work)
    : fd_(fd), work_(std::move(work)), compressor_(ZSTD_createCCtx()), out_(ZSTD_CStreamOutSize(), '\0') {
    if (!compressor_) {
        throw Error(ErrorCode::internal, work_ + ": no memory for zstd");
    }
    checked(ZSTD_CCtx_setParameter(compressor_.get(), ZSTD_c_compressionLevel, level));
    checked(ZSTD_CCtx_setParameter(compressor_.get(), ZSTD_c_checksumFlag, 1));
}

void ZstdWriter::write(std::string_view piece) {
    ZSTD_inBuffer in{piece.data(), piece.size(), 0};
    while (in.pos < in.size) {
        step(in, false);
    }
}

void ZstdWriter::end_frame() {
    ZSTD_inBuffer nothing{nullptr, 0, 0};
    while (step(nothing, true) != 0) {
    }
}

std::size_t ZstdWriter::checked(std::size_t result) const {
    if (ZSTD_isError(result) != 0) {
        throw Error(ErrorCode::internal, work_ + ": " + ZSTD_getErrorName(result));
    }
    return result;
}

/// At the end: how much is still to come out, at least.
std::size_t ZstdWriter::step(ZSTD_inBuffer_s& in, bool is_end) {
    ZSTD_outBuffer out{out_.data(), out_.size(), 0};
    const std::size_t rest =
        checked(ZSTD_compressStream2(compressor_.get(), &out, &in, is_end ? ZSTD_e_end : ZSTD_e_continue));
    write_all(fd_, std::string_view(out_).substr(0, out.pos), work_);
    return rest;
}

} // namespace capsul
