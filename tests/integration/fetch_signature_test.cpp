// Signatures, by keys that are made for each test.
#include "tests/integration/fetch_fixture.hpp"

#include "lib/fd.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

namespace capsul::test {
namespace {

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

class FetchSignature : public FetchTest {
  protected:
    FetchSignature() { gpg_.make_key("publisher"); }

    DiskRequest signed_disk(const fs::path& keyring) {
        DiskRequest wanted = request("disk.raw");
        wanted.signature.emplace().url = server_.url("disk.raw.sig");
        wanted.signature->keyring = HostPath::parse(keyring.string());
        return wanted;
    }
    DocumentRequest clearsigned(const fs::path& keyring) {
        DocumentRequest wanted = document("sums", "sums");
        wanted.clearsigned_by = HostPath::parse(keyring.string());
        return wanted;
    }
    void put_disk(const std::string& signer, const std::string& time = "20260102T000000") {
        server_.put("disk.raw", content_);
        server_.put("disk.raw.sig", gpg_.detached(signer, temporary_ / "served" / "disk.raw", time));
    }
    void expect_refused(const DiskRequest& wanted, const std::string& why) {
        EXPECT_EQ(fetch(wanted), 10);
        EXPECT_TRUE(error().starts_with("verification: ")) << error();
        EXPECT_NE(error().find(why), std::string::npos) << error();
        EXPECT_FALSE(fs::exists(folder_ / fetched_disk_file));
        EXPECT_FALSE(fs::exists(folder_ / "data.part"));
    }

    std::string content_ = random_bytes(100'000);
    Gpg gpg_{temporary_ / "gpg"};
};

TEST_F(FetchSignature, TakesAGoodOne) {
    put_disk("publisher");
    for (const bool armored : {false, true}) {
        EXPECT_EQ(fetch(signed_disk(gpg_.keyring("publisher", armored))), 0);
        expect_disk(content_);
        EXPECT_EQ(result().file.value().verified, Verification::signature);
        EXPECT_EQ(result().file.value().signer, gpg_.fingerprint("publisher"));
    }
}

TEST_F(FetchSignature, SaysWhatIsWrongWithAnother) {
    gpg_.make_key("stranger");
    gpg_.make_key("old", "20200101T000000", "2020-02-01");
    put_disk("stranger");
    expect_refused(signed_disk(gpg_.keyring("publisher")), "is signed by a key that is not in the keyring: ");
    put_disk("old", "20200102T000000");
    expect_refused(signed_disk(gpg_.keyring("old")), "is signed by a key that has expired: ");
    put_disk("stranger");
    gpg_.revoke("stranger");
    expect_refused(signed_disk(gpg_.keyring("stranger")), "is signed by a key that was revoked: ");
}

TEST_F(FetchSignature, FindsWhatWasChangedOrIsMissing) {
    put_disk("publisher");
    const DiskRequest wanted = signed_disk(gpg_.keyring("publisher"));
    std::string changed = content_;
    changed[50'000] = static_cast<char>(changed[50'000] ^ 1);
    server_.put("disk.raw", changed);
    expect_refused(wanted, "was changed after it was signed");
    server_.put("disk.raw.sig", "no signature at all");
    expect_refused(wanted, "has no signature where one should be");
    fs::remove(temporary_ / "served" / "disk.raw.sig");
    expect_refused(wanted, "there is no signature: ");
    DiskRequest without_keys = wanted;
    without_keys.signature->keyring = HostPath::parse("/nowhere/keys.gpg");
    put_disk("publisher");
    EXPECT_EQ(fetch(without_keys), 8);
    EXPECT_NE(error().find("no keyring: /nowhere/keys.gpg: "), std::string::npos) << error();
}

TEST_F(FetchSignature, OfADocumentGivesOnlyWhatWasSigned) {
    const std::string text = "abc  disk.raw\n- dashed\n";
    const DocumentRequest wanted = clearsigned(gpg_.keyring("publisher"));
    server_.put("sums", "before\n" + gpg_.clearsigned("publisher", text));
    EXPECT_EQ(fetch({wanted}), 0);
    EXPECT_EQ(read_all(folder_ / "documents" / "sums"), text);
    EXPECT_EQ(outcomes()[0].file.value().verified, Verification::signature);
    EXPECT_EQ(outcomes()[0].file.value().signer, gpg_.fingerprint("publisher"));
    // Unchanged, it is verified all the same: keys are revoked, and keyrings replaced.
    gpg_.make_key("stranger");
    EXPECT_EQ(fetch({clearsigned(gpg_.keyring("stranger"))}), 0);
    EXPECT_NE(outcomes()[0].error.value().message.find("not in the keyring"), std::string::npos);
    EXPECT_FALSE(fs::exists(folder_ / "documents" / "sums"));
}

TEST_F(FetchSignature, OfADocumentIsRefusedWhenItWasChanged) {
    const DocumentRequest wanted = clearsigned(gpg_.keyring("publisher"));
    std::string text = gpg_.clearsigned("publisher", "abc  disk.raw\n");
    text.replace(text.find("abc  "), 3, "abd");
    server_.put("sums", text);
    EXPECT_EQ(fetch({wanted}), 0);
    EXPECT_EQ(outcomes()[0].error.value().code, "verification");
    EXPECT_NE(outcomes()[0].error.value().message.find("was changed after"), std::string::npos);
    server_.put("sums", "abc  disk.raw\n");
    EXPECT_EQ(fetch({wanted}), 0);
    EXPECT_EQ(outcomes()[0].error.value().code, "verification");
    EXPECT_FALSE(fs::exists(folder_ / "documents" / "sums"));
}

TEST_F(FetchSignature, BesideADocument) {
    DocumentRequest wanted = document("sums", "sums");
    wanted.signature.emplace().url = server_.url("sums.sig");
    wanted.signature->keyring = HostPath::parse(gpg_.keyring("publisher").string());
    wanted.may_be_absent = true;
    server_.put("sums", "abc  disk.raw\n");
    // An optional document may be missing, but not the signature of one that is there.
    EXPECT_EQ(fetch({wanted}), 0);
    EXPECT_EQ(outcomes()[0].error.value().code, "verification");
    server_.put("sums.sig", gpg_.detached("publisher", temporary_ / "served" / "sums"));
    EXPECT_EQ(fetch({wanted}), 0);
    EXPECT_EQ(outcomes()[0].file.value().verified, Verification::signature);
    EXPECT_EQ(read_all(folder_ / "documents" / "sums"), "abc  disk.raw\n");
    EXPECT_EQ(fetch({wanted}), 0);
    EXPECT_TRUE(outcomes()[0].unchanged);
    EXPECT_EQ(outcomes()[0].file.value().fetched, 0U);
}

} // namespace
} // namespace capsul::test
