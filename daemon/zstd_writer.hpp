// Compresses by zstd, with a checksum of what is compressed, which every reader verifies.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct ZSTD_CCtx_s;
struct ZSTD_inBuffer_s;

namespace capsul {

class ZstdWriter {
  public:
    /// `fd` stays the caller's; `work` is what Errors name. Every call throws Error (no_space, internal).
    ZstdWriter(int fd, std::string work);

    void write(std::string_view piece);
    /// What was written has its checksum and can be read. What is written after it has another one.
    void end_frame();

  private:
    struct Free {
        void operator()(ZSTD_CCtx_s* compressor) const noexcept;
    };
    std::size_t checked(std::size_t result) const;
    std::size_t step(ZSTD_inBuffer_s& in, bool is_end);

    int fd_;
    std::string work_;
    std::unique_ptr<ZSTD_CCtx_s, Free> compressor_;
    std::string out_;
};

} // namespace capsul
