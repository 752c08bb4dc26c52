// Digests of what comes piece by piece, and of small texts.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace capsul {

/// A running digest.
class Hash {
  public:
    enum class Kind { sha1, sha256, sha512 }; ///< SHA-1 tells damage only
    explicit Hash(Kind kind);
    void add(std::string_view data);
    /// Lower-case hexadecimal; call once.
    [[nodiscard]] std::string finish();

  private:
    struct Free {
        void operator()(evp_md_ctx_st* context) const noexcept;
    };
    std::unique_ptr<evp_md_ctx_st, Free> context_;
};

/// SHA-256: 64 lower-case hexadecimal digits.
[[nodiscard]] std::string sha256_hex(std::string_view data);

} // namespace capsul
