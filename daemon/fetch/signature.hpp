// Checks OpenPGP signatures, by gpgv.
#pragma once

#include <filesystem>
#include <string>

namespace capsul::fetch {

/// A keyring, made ready for gpgv in `folder` if it is armored.
class Keyring {
  public:
    /// Throws Error (not_capable) for one that is not there, or is none.
    Keyring(const std::filesystem::path& file, const std::filesystem::path& folder);
    Keyring(const Keyring&) = delete;
    Keyring& operator=(const Keyring&) = delete;
    ~Keyring();

    /// The fingerprint of the key that `signature` over `file` is by; `name` is what messages call the file.
    /// Throws Error: verification, not_capable without gpgv.
    [[nodiscard]] std::string check_detached(const std::filesystem::path& signature,
                                             const std::filesystem::path& file,
                                             const std::string& name) const;
    /// The same of a file that holds a text and its signature; what was signed of it is written to `text`.
    [[nodiscard]] std::string check_clearsigned(const std::filesystem::path& file,
                                                const std::filesystem::path& text,
                                                const std::string& name) const;

  private:
    std::filesystem::path source_; ///< as it was given
    std::filesystem::path folder_;
    std::filesystem::path ready_; ///< as gpgv takes it
};

} // namespace capsul::fetch
