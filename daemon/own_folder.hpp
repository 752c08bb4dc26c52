// A folder with an owner.
#pragma once

#include <filesystem>
#include <utility>

namespace capsul {

/// Removed with all that is in it when this goes, unless it was given away by rename.
class OwnFolder {
  public:
    /// Makes it if it is not there.
    explicit OwnFolder(std::filesystem::path path);
    OwnFolder(OwnFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    OwnFolder& operator=(OwnFolder&& other) noexcept {
        path_.swap(other.path_);
        return *this;
    }
    OwnFolder(const OwnFolder&) = delete;
    OwnFolder& operator=(const OwnFolder&) = delete;
    ~OwnFolder();

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    /// Moves it to `target` (same file system); throws Error and keeps it when that fails.
    void rename_to(const std::filesystem::path& target);

  private:
    std::filesystem::path path_;
};

} // namespace capsul
