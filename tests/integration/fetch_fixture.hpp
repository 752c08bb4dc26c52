// capsul-fetch as a program, and a server for it that behaves as badly as it is told to.
#pragma once

#include "daemon/fetch/documents.hpp"
#include "daemon/fetch_folder.hpp"
#include "daemon/process.hpp"
#include "lib/json.hpp"
#include "tests/temporary_folder.hpp"

#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <string>
#include <string_view>
#include <vector>

namespace capsul::test {

/// tests/e2e/image_server.py with a folder of its own.
class ImageServer {
  public:
    explicit ImageServer(const std::filesystem::path& folder);

    /// Of a file, and of how it is to be served: "disk.raw?cut=1000".
    [[nodiscard]] Url url(const std::string& rest) const;
    [[nodiscard]] std::string address() const;
    void put(const std::string& name, std::string_view content) const;
    /// What was answered, at least so many times.
    [[nodiscard]] std::vector<Json> log(std::size_t answers) const;

  private:
    std::filesystem::path root_;
    std::filesystem::path log_;
    ChildProcess process_;
    std::string port_;
};

/// So many bytes, the same for the same seed.
[[nodiscard]] std::string random_bytes(std::size_t count, unsigned seed = 1);
[[nodiscard]] std::string read_all(const std::filesystem::path& file);
[[nodiscard]] std::string sha256_of(std::string_view data);
[[nodiscard]] bool comes_true(const std::function<bool()>& condition);

/// Waits shortly, and not for long.
[[nodiscard]] FetchPatience impatience();

class FetchTest : public testing::Test {
  protected:
    FetchTest();

    /// Of a file of the server.
    [[nodiscard]] DiskRequest request(const std::string& rest) const;
    [[nodiscard]] fetch::DocumentRequest document(const std::string& id, const std::string& rest) const;
    /// Asks for it, and returns how the program exits.
    int fetch(const DiskRequest& request);
    /// Gets them, as `capsul-fetch catalogue` does it, and returns how that would exit.
    int fetch(const std::vector<fetch::DocumentRequest>& documents);
    void ask(const Json& request) const;
    [[nodiscard]] std::vector<std::string> command(const char* what) const;
    [[nodiscard]] DiskResult result() const;
    [[nodiscard]] const std::vector<fetch::DocumentOutcome>& outcomes() const { return outcomes_; }
    /// The error of the result: "CODE: MESSAGE".
    [[nodiscard]] std::string error() const;
    /// The names of all that is in the folder, but the request and the result.
    [[nodiscard]] std::vector<std::string> left() const;
    void expect_disk(std::string_view content) const;
    /// Of content that the server has sent, in so many answers at least.
    [[nodiscard]] std::uint64_t sent(std::size_t answers) const;

    TemporaryFolder temporary_;
    std::filesystem::path folder_ = temporary_ / "fetch";
    ImageServer server_;
    std::string refusal_; ///< why documents were not even asked for

  private:
    std::vector<fetch::DocumentOutcome> outcomes_;
};

} // namespace capsul::test
