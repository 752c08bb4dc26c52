#include "daemon/peer/sparse_log.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

namespace capsul::peer {
namespace {

constexpr int most_in_a_minute = 10;
constexpr std::size_t longest_line = 400;

std::string plain(std::string_view line) {
    std::string text(line.substr(0, longest_line));
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
    return text;
}

} // namespace

void SparseLog::tell(std::string_view line) {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now - minute_ >= std::chrono::minutes(1)) {
        minute_ = now;
        told_ = 0;
    }
    if (++told_ > most_in_a_minute) {
        ++left_out_;
        return;
    }
    if (left_out_ > 0) {
        std::fprintf(stderr, "%d lines like these were left out\n", left_out_);
        left_out_ = 0;
    }
    std::fprintf(stderr, "%s\n", plain(line).c_str());
}

} // namespace capsul::peer
