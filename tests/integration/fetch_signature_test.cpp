// Signatures, by keys that are made for each test.
#include "tests/integration/fetch_fixture.hpp"
#include "tests/integration/gpg.hpp"

#include "lib/fd.hpp"

#include <fmt/format.h>

namespace capsul::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class FetchSignature : public FetchTest {
  protected:
    FetchSignature() { gpg_.make_key("publisher"); }

    DiskRequest signed_disk(const fs::path& keyring) {
        DiskRequest wanted = request("disk.raw");
        wanted.signature.emplace().url = server_.url("disk.raw.sig");
        wanted.signature->keyring = HostPath::parse(keyring.string());
        return wanted;
    }
    fetch::DocumentRequest clearsigned(const fs::path& keyring) {
        fetch::DocumentRequest wanted = document("sums", "sums");
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
    const fetch::DocumentRequest wanted = clearsigned(gpg_.keyring("publisher"));
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
    const fetch::DocumentRequest wanted = clearsigned(gpg_.keyring("publisher"));
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
    fetch::DocumentRequest wanted = document("sums", "sums");
    wanted.signature.emplace().url = server_.url("sums.sig");
    wanted.signature->keyring = HostPath::parse(gpg_.keyring("publisher").string());
    server_.put("sums", "abc  disk.raw\n");
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
