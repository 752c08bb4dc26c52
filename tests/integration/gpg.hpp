// Keys and signatures for tests, by gpg with a home of its own.
#pragma once

#include "daemon/process.hpp"
#include "lib/fd.hpp"

#include <chrono>
#include <filesystem>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <vector>

namespace capsul::test {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// A home of gpg, its agent gone at the end.
class Gpg {
  public:
    explicit Gpg(fs::path home) : home_(std::move(home)) {
        fs::create_directories(home_);
        ::chmod(home_.c_str(), 0700);
    }
    Gpg(const Gpg&) = delete;
    Gpg& operator=(const Gpg&) = delete;
    ~Gpg() { (void)run_process({"gpgconf", "--homedir", home_.string(), "--kill", "all"}, 60s); }

    std::string run(std::vector<std::string> words) const {
        const std::vector<std::string> always{"gpg",     "--homedir",       home_.string(),
                                              "--batch", "--yes",           "--passphrase",
                                              "",        "--pinentry-mode", "loopback"};
        words.insert(words.begin(), always.begin(), always.end());
        const ProcessResult result = run_process(words, 60s);
        EXPECT_EQ(result.status, 0) << result.err;
        return result.out;
    }
    void make_key(const std::string& name, const std::string& time = "20260101T000000",
                  const std::string& lasts = "never") const {
        run({"--faked-system-time", time, "--quick-generate-key", name, "ed25519", "sign", lasts});
    }
    /// Gives back the keyring.
    fs::path keyring(const std::string& name, bool armored = false) const {
        const fs::path file = home_ / (name + ".keys");
        run({"--output", file.string(), armored ? "--armor" : "--no-armor", "--export", name});
        return file;
    }
    std::string fingerprint(const std::string& name) const {
        const std::string listed = run({"--with-colons", "--list-keys", name});
        const auto begin = listed.find("fpr:::::::::") + 12;
        return listed.substr(begin, listed.find(':', begin) - begin);
    }
    void revoke(const std::string& name) const {
        const fs::path file = home_ / "openpgp-revocs.d" / (fingerprint(name) + ".rev");
        std::string text = read_file(file);
        text.erase(text.find(":-----BEGIN"), 1); // which keeps it from being used by mistake
        replace_file(file, text);
        run({"--import", file.string()});
    }
    std::string detached(const std::string& name, const fs::path& file,
                         const std::string& time = "20260102T000000") const {
        run({"--faked-system-time", time, "--local-user", name, "--output", (home_ / "out").string(),
             "--detach-sign", file.string()});
        return read_file(home_ / "out");
    }
    std::string clearsigned(const std::string& name, const std::string& text) const {
        replace_file(home_ / "in", text);
        run({"--local-user", name, "--output", (home_ / "out").string(), "--clear-sign",
             (home_ / "in").string()});
        return read_file(home_ / "out");
    }

  private:
    fs::path home_;
};

} // namespace capsul::test
