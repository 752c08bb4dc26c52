#include "daemon/fetch/gpgv_status.hpp"
#include "daemon/fetch/keyring.hpp"
#include "lib/base64.hpp"
#include "lib/error.hpp"

#include <gtest/gtest.h>

namespace capsul::fetch {
namespace {

const SignedThing sums{"SHA512SUMS", "/keys.gpg"};
const std::string key = "DF9B9C49EAA9298432589D76DA87E80D6294BE9B";
const std::string newsig = "[GNUPG:] NEWSIG\n";
const std::string good =
    newsig + "[GNUPG:] GOODSIG DA87E80D6294BE9B Debian CD signing key <debian-cd@lists.debian.org>\n" +
    "[GNUPG:] VALIDSIG " + key + " 2026-11-22 1795305600 0 4 0 1 10 00 " + key + "\n";
const std::string unknown =
    newsig + "[GNUPG:] ERRSIG 64E6EA7D 1 10 00 1795305600 9 -\n[GNUPG:] NO_PUBKEY 64E6EA7D\n";

/// The fingerprint, or what is wrong.
std::string judged(const std::string& lines, int exit_status = 0, const char* complaint = "") {
    try {
        return judge_signature(lines, exit_status, complaint, sums);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::verification);
        return error.what();
    }
}

TEST(JudgeSignature, TakesAGoodOne) {
    EXPECT_EQ(judged(good), key);
    EXPECT_EQ(judged("gpgv: words for people\n" + good), key);
}

TEST(JudgeSignature, TakesAGoodOneBesideOthersButNoBadOne) {
    EXPECT_EQ(judged(unknown + good, 2), key);
    EXPECT_EQ(judged(good + unknown, 2), key);
    EXPECT_EQ(judged(newsig + "[GNUPG:] EXPKEYSIG A old\n[GNUPG:] VALIDSIG AA\n" + good), key);
    EXPECT_NE(judged(good + newsig + "[GNUPG:] BADSIG A evil\n", 1), key);
    EXPECT_NE(judged(good + newsig + "[GNUPG:] BADSIG A evil\n", 0), key);
}

TEST(JudgeSignature, NeedsGpgvToEndWell) {
    EXPECT_NE(judged(good, 1), key);
    EXPECT_NE(judged(good, 2), key);
    EXPECT_NE(judged(good, 137), key);
    EXPECT_NE(judged(unknown + good, 1), key);
}

TEST(JudgeSignature, HasASentenceForEachThingThatIsWrong) {
    EXPECT_EQ(
        judged(newsig + "[GNUPG:] BADSIG AB Some One\n", 1),
        "SHA512SUMS was changed after it was signed, or is not what was signed: the signature is bad, of "
        "AB Some One (keyring /keys.gpg)");
    EXPECT_EQ(
        judged(newsig + "[GNUPG:] KEYEXPIRED 1\n[GNUPG:] EXPKEYSIG AB Some One\n[GNUPG:] VALIDSIG AB\n"),
        "SHA512SUMS is signed by a key that has expired: AB Some One (keyring /keys.gpg)");
    EXPECT_EQ(judged(newsig + "[GNUPG:] REVKEYSIG AB Some One\n[GNUPG:] VALIDSIG AB\n"),
              "SHA512SUMS is signed by a key that was revoked: AB Some One (keyring /keys.gpg)");
    EXPECT_EQ(judged(newsig + "[GNUPG:] EXPSIG AB Some One\n[GNUPG:] VALIDSIG AB\n"),
              "SHA512SUMS has a signature that has expired: AB Some One (keyring /keys.gpg)");
    EXPECT_EQ(judged(unknown, 2),
              "SHA512SUMS is signed by a key that is not in the keyring: 64E6EA7D (keyring /keys.gpg)");
    EXPECT_EQ(judged(newsig + "[GNUPG:] ERRSIG AB 1 2 00 1 5 -\n", 2),
              "SHA512SUMS has a signature that cannot be checked: AB 1 2 00 1 5 - (keyring /keys.gpg)");
    EXPECT_EQ(judged("[GNUPG:] NODATA 4\n", 2),
              "SHA512SUMS has no signature where one should be (keyring /keys.gpg)");
    EXPECT_EQ(judged("", 2, "gpgv: no such file\nmore"),
              "SHA512SUMS: its signature is not good (keyring /keys.gpg): gpgv: no such file");
}

TEST(JudgeSignature, NeedsBothWordsOfTheSameSignature) {
    EXPECT_NE(judged(newsig + "[GNUPG:] GOODSIG AB x\n"), "AB");
    EXPECT_NE(judged(newsig + "[GNUPG:] VALIDSIG AB x\n"), "AB");
    EXPECT_NE(judged(newsig + "[GNUPG:] GOODSIG AB x\n" + newsig + "[GNUPG:] VALIDSIG AB x\n"), "AB");
    EXPECT_NE(judged(newsig + "GOODSIG AB x\nVALIDSIG AB x\n"), "AB");
}

// A name of a key is anybody's text.
TEST(JudgeSignature, ShowsNamesPlainly) {
    EXPECT_NE(judged(newsig + "[GNUPG:] EXPKEYSIG AB \x1b[31mred\n").find("AB ?[31mred"), std::string::npos);
}

std::string armored(const std::string& keys) {
    return "-----BEGIN PGP PUBLIC KEY BLOCK-----\r\nVersion: x\r\n\r\n" + base64_encode(keys) +
           "\r\n=abcd\r\n-----END PGP PUBLIC KEY BLOCK-----\r\n";
}

TEST(Keyring, LosesItsArmor) {
    const std::string keys = "\x99\x01 many \xff keys";
    EXPECT_TRUE(is_armored(armored(keys)));
    EXPECT_FALSE(is_armored(keys));
    EXPECT_EQ(without_armor(armored(keys)), keys);
    EXPECT_EQ(without_armor("pub rsa4096\n" + armored(keys) + "\n" + armored("more")), keys + "more");
}

TEST(Keyring, RefusesABrokenArmor) {
    const std::string whole = armored("keys");
    EXPECT_THROW((void)without_armor(whole.substr(0, whole.find("-----END"))), Error);
    EXPECT_THROW((void)without_armor(whole.substr(0, 40)), Error);
    std::string wrong = whole;
    wrong[wrong.find("=abcd") - 4] = '!';
    EXPECT_THROW((void)without_armor(wrong), Error);
}

} // namespace
} // namespace capsul::fetch
