// Tells on standard output how far it is, in the words of qemu-img -p.
#pragma once

#include <cstdint>
#include <cstdio>

namespace capsul::unpack {

class Progress {
  public:
    explicit Progress(std::uint64_t total) : total_(total) {}
    void tell(std::uint64_t done) {
        const int percent = total_ == 0 ? 100 : static_cast<int>(done * 100 / total_);
        if (percent != told_) {
            told_ = percent;
            std::printf("    (%d.00/100%%)\r", percent); // NOLINT(*-vararg)
            std::fflush(stdout);
        }
    }

  private:
    std::uint64_t total_;
    int told_ = -1;
};

} // namespace capsul::unpack
