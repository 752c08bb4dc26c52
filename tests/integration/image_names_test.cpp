// Aliases, pins and prune, and an image that is made with an origin and an alias: over real files, which only
// here and there have to be disks.
#include "daemon/file_copy.hpp"
#include "daemon/image_files.hpp"
#include "tests/integration/image_fixture.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

namespace capsul {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t disk_bytes = 256 * 1024;

Name named(const std::string& text) {
    return Name::parse(text);
}

Digest digest_of(char content) {
    return Digest::parse("sha256:" + std::string(64, content));
}

std::vector<std::string> names_of(const std::vector<Image>& images) {
    std::vector<std::string> names;
    for (const Image& image : images) {
        names.push_back(image.name.to_string());
    }
    return names;
}

class ImageNamesTest : public ImageServiceTest {
  protected:
    /// Another start of the daemon.
    void start_anew() {
        end();
        start();
    }

    /// An image whose disk is no disk.
    ImageRecord add_image(const std::string& name, char content) {
        ImageRecord image;
        image.name = named(name);
        image.digest = digest_of(content);
        image.size = Bytes(disk_bytes);
        image.imported =
            Timestamp(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) -
                      std::chrono::days(60));
        replace_file(disk_of(image), std::string(disk_bytes, content));
        age_disk(image, std::chrono::days(60));
        store_->images.save(image);
        return image;
    }
    [[nodiscard]] fs::path disk_of(const ImageRecord& image) const {
        return service_->disk_path(image.digest);
    }
    void age_disk(const ImageRecord& image, std::chrono::seconds age) const {
        fs::last_write_time(disk_of(image), fs::file_time_type::clock::now() - age);
    }
    [[nodiscard]] std::uint64_t bytes_of(const ImageRecord& image) const {
        return allocated_bytes(disk_of(image)).value_or(0);
    }

    void add_vm(const std::string& name, const std::string& asked, const ImageRecord& image) {
        VmRecord vm;
        vm.name = named(name);
        vm.uuid = Uuid::make();
        vm.created = Timestamp::now();
        vm.image = named(asked);
        vm.image_digest = image.digest;
        vm.memory = vm.disk = Bytes(disk_bytes);
        store_->vms.save(vm);
    }

    template <class Result = Image>
    Result run(const Operation& begun) {
        const Operation operation = finished(begun);
        if (operation.error) {
            throw operation.error->to_error();
        }
        return decode<Result>(*operation.result);
    }
    Image tag(const std::string& image, const std::string& alias) {
        return run(service_->tag({.name = named(alias), .image = named(image)}));
    }
    Image remove(const std::string& name) { return run(service_->remove(named(name))); }
    Pruned prune(const ImagePrune& call = {}) { return run<Pruned>(service_->prune(call)); }

    template <class Work>
    Error refusal(Work work) {
        try {
            static_cast<void>(work());
        } catch (const Error& error) {
            return error;
        }
        ADD_FAILURE() << "was accepted";
        return {ErrorCode::internal, ""};
    }
    std::string events() {
        const fs::path log = paths_.state / "events.ndjson";
        start_anew(); // ends the old log
        return fs::exists(log) ? read_file(log) : "";
    }
};

// Aliases

TEST_F(ImageNamesTest, AnAliasIsAsGoodAsTheNameOfItsImage) {
    const ImageRecord image = add_image("debian-12-a", 'a');
    EXPECT_EQ(tag("debian-12-a", "debian-12").aliases, std::vector{named("debian-12")});
    EXPECT_EQ(service_->usable(named("debian-12")).name, image.name);
    EXPECT_EQ(service_->hold(named("debian-12")).record.digest, image.digest);
    EXPECT_EQ(service_->show(named("debian-12")).name, image.name);
    EXPECT_THAT(names_of(service_->list()), ElementsAre("debian-12-a"));
}

TEST_F(ImageNamesTest, AnAliasMovesWhenItIsGivenAgain) {
    add_image("debian-12-a", 'a');
    add_image("debian-12-b", 'b');
    tag("debian-12-a", "debian-12");
    tag("debian-12-b", "debian-12");
    EXPECT_EQ(service_->usable(named("debian-12")).name, named("debian-12-b"));
    EXPECT_THAT(service_->show(named("debian-12-a")).aliases, IsEmpty());
    EXPECT_THAT(events(), HasSubstr("image.tagged"));
}

TEST_F(ImageNamesTest, AnAliasOfAnAliasPointsAtTheImage) {
    add_image("debian-12-a", 'a');
    add_image("debian-12-b", 'b');
    tag("debian-12-a", "debian-12");
    tag("debian-12", "stable");
    tag("debian-12-b", "debian-12");
    EXPECT_EQ(service_->usable(named("stable")).name, named("debian-12-a"));
}

TEST_F(ImageNamesTest, ImagesAndAliasesShareOneNameSpace) {
    add_image("one", 'a');
    add_image("two", 'b');
    tag("one", "first");
    const Error as_alias = refusal([&] { return tag("one", "two"); });
    EXPECT_EQ(as_alias.code(), ErrorCode::exists);
    EXPECT_THAT(as_alias.what(), HasSubstr("image two: exists already"));
    const UploadResponse upload = service_->upload({});
    upload.write(std::string(512, 'x'));
    ImageImport call;
    call.name = named("first");
    call.disk = decode<Upload>(upload.finish()).id;
    const Error as_image = refusal([&] { return service_->import(call); });
    EXPECT_EQ(as_image.code(), ErrorCode::exists);
    EXPECT_THAT(as_image.what(), HasSubstr("as an alias"));
    EXPECT_EQ(service_->usable(named("first")).name, named("one"));
}

TEST_F(ImageNamesTest, NoAliasIsMadeOfWhatIsNotThere) {
    const Error error = refusal([&] { return tag("nothing", "alias"); });
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    EXPECT_FALSE(store_->aliases.exists(named("alias")));
}

TEST_F(ImageNamesTest, RemovingAnAliasLeavesTheImage) {
    add_image("debian-12-a", 'a');
    for (const bool by_untag : {true, false}) {
        tag("debian-12-a", "debian-12");
        const Image gone = by_untag ? run(service_->untag(named("debian-12"))) : remove("debian-12");
        EXPECT_EQ(gone.name, named("debian-12"));
        EXPECT_EQ(gone.alias_of, named("debian-12-a"));
        EXPECT_EQ(refusal([&] { return service_->usable(named("debian-12")); }).code(), ErrorCode::not_found);
        EXPECT_FALSE(service_->show(named("debian-12-a")).broken);
    }
}

TEST_F(ImageNamesTest, UntagRemovesNoImage) {
    add_image("lab", 'a');
    const Error error = refusal([&] { return service_->untag(named("lab")); });
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    EXPECT_EQ(error.hint(), "lab is an image: `capsulctl image rm lab` removes it");
    EXPECT_EQ(refusal([&] { return service_->untag(named("nothing")); }).code(), ErrorCode::not_found);
}

/// A kill between the two, the other way about: only a hand or a disk that loses files makes it so.
TEST_F(ImageNamesTest, AnAliasWithoutItsImageIsListedBesideTheOthers) {
    add_image("good", 'a');
    AliasRecord alias;
    alias.name = named("lost");
    alias.image = named("gone");
    store_->aliases.save(alias);
    replace_file(paths_.aliases() / "odd.toml", "typo\n");
    start_anew();
    const std::vector<Image> images = service_->list();
    ASSERT_THAT(names_of(images), ElementsAre("good", "lost", "odd"));
    EXPECT_FALSE(images[0].broken);
    EXPECT_EQ(images[1].broken, "is an alias of gone, which does not exist");
    EXPECT_EQ(images[1].alias_of, named("gone"));
    EXPECT_THAT(images[2].broken.value_or(""), HasSubstr("odd.toml"));
    EXPECT_EQ(service_->show(named("lost")).broken, images[1].broken);
    const Error error = refusal([&] { return service_->usable(named("lost")); });
    EXPECT_EQ(error.code(), ErrorCode::wrong_state);
    EXPECT_THAT(error.hint(), HasSubstr("image untag lost"));
    tag("good", "lost");
    EXPECT_EQ(service_->usable(named("lost")).name, named("good"));
    remove("odd");
    EXPECT_THAT(names_of(service_->list()), ElementsAre("good"));
}

TEST_F(ImageNamesTest, SweepsAliasesThatWereHalfWritten) {
    add_image("debian-12-a", 'a');
    tag("debian-12-a", "debian-12");
    replace_file(paths_.aliases() / ".debian-12.toml.x7Ab2c", "half");
    start_anew();
    EXPECT_FALSE(fs::exists(paths_.aliases() / ".debian-12.toml.x7Ab2c"));
    EXPECT_EQ(service_->usable(named("debian-12")).name, named("debian-12-a"));
}

// What is kept

TEST_F(ImageNamesTest, AnOldVersionIsKeptForItsVmsWhenTheAliasMoves) {
    const ImageRecord old = add_image("debian-12-a", 'a');
    add_image("debian-12-b", 'b');
    tag("debian-12-a", "debian-12");
    add_vm("web", "debian-12", old);
    tag("debian-12-b", "debian-12");
    EXPECT_EQ(service_->show(named("debian-12-a")).vms, std::vector{named("web")});
    EXPECT_THAT(service_->show(named("debian-12-b")).vms, IsEmpty());
    EXPECT_EQ(refusal([&] { return remove("debian-12-a"); }).code(), ErrorCode::in_use);
    start_anew();
    EXPECT_TRUE(fs::exists(disk_of(old)));
}

TEST_F(ImageNamesTest, WhatAnAliasPointsAtIsNotRemoved) {
    add_image("debian-12-a", 'a');
    tag("debian-12-a", "debian-12");
    const Error error = refusal([&] { return remove("debian-12-a"); });
    EXPECT_EQ(error.code(), ErrorCode::in_use);
    EXPECT_STREQ(error.what(), "image debian-12-a: aliases point at it: debian-12");
    EXPECT_THAT(error.hint(), HasSubstr("image untag debian-12"));
    remove("debian-12");
    EXPECT_EQ(remove("debian-12-a").name, named("debian-12-a"));
}

TEST_F(ImageNamesTest, WhatIsPinnedIsNotRemovedUntilItIsUnpinned) {
    add_image("debian-12-a", 'a');
    tag("debian-12-a", "debian-12");
    EXPECT_TRUE(run(service_->set_pinned(named("debian-12"), true)).pinned);
    remove("debian-12");
    const Error error = refusal([&] { return remove("debian-12-a"); });
    EXPECT_EQ(error.code(), ErrorCode::wrong_state);
    EXPECT_THAT(error.hint(), HasSubstr("image unpin debian-12-a"));
    start_anew();
    EXPECT_TRUE(service_->show(named("debian-12-a")).pinned);
    EXPECT_FALSE(run(service_->set_pinned(named("debian-12-a"), false)).pinned);
    EXPECT_NO_THROW(remove("debian-12-a"));
    EXPECT_EQ(refusal([&] { return service_->set_pinned(named("debian-12-a"), true); }).code(),
              ErrorCode::not_found);
}

// An image that is made by a download

class MakeImageTest : public ImageNamesTest {
  protected:
    void SetUp() override {
        ImageNamesTest::SetUp();
        content_ = read_file(make_disk("disk.qcow2", {}, "1M"));
    }

    /// As a download has left it: a file of this content.
    NewImage downloaded(const std::string& name, Verification verified = Verification::signature) {
        const fs::path file = paths_.uploads() / (Uuid::make().to_string() + ".claimed");
        replace_file(file, content_);
        NewImage image{.name = named(name),
                       .disk = {TemporaryFile(file), digest_of('d')},
                       .kernel = {},
                       .initrd = {},
                       .cmdline = {},
                       .origin = {},
                       .alias = {}};
        image.origin = ImageOrigin{"https://example.org/d.qcow2", Name::parse("debian"),
                                   ImageVersion::parse("20261122"), verified};
        return image;
    }
    Image make(NewImage image) {
        const auto shared = std::make_shared<NewImage>(std::move(image));
        return run(
            operations_->submit("image.pull", shared->name.to_string(), "", [this, shared](Progress& p) {
                return encode(service_->make(std::move(*shared), p));
            }));
    }

    std::string content_;
};

TEST_F(MakeImageTest, GetsItsOriginAndAnAliasThatPointsAtIt) {
    NewImage wanted = downloaded("debian-12-20261122");
    wanted.alias = named("debian-12");
    const Image image = make(std::move(wanted));
    ASSERT_TRUE(image.origin);
    EXPECT_EQ(image.origin->verified, Verification::signature);
    EXPECT_EQ(image.aliases, std::vector{named("debian-12")});
    EXPECT_EQ(service_->usable(named("debian-12")).size, Bytes(1U << 20U));
    EXPECT_TRUE(fs::is_empty(paths_.uploads()));
}

TEST_F(MakeImageTest, FinishesWhatAKillBetweenImageAndAliasLeft) {
    const Image first = make(downloaded("debian-12-20261122")); // as far as it had come
    start_anew();
    EXPECT_EQ(refusal([&] { return service_->usable(named("debian-12")); }).code(), ErrorCode::not_found);
    NewImage again = downloaded("debian-12-20261122");
    again.alias = named("debian-12");
    const Image second = make(std::move(again));
    EXPECT_EQ(second.aliases, std::vector{named("debian-12")});
    EXPECT_EQ(second.imported, first.imported);
    EXPECT_TRUE(fs::is_empty(paths_.uploads()));
    const std::string log = events();
    EXPECT_EQ(log.find("image.imported"), log.rfind("image.imported")) << log;
}

TEST_F(MakeImageTest, MovesTheAliasWhenThereIsANewerVersion) {
    NewImage old = downloaded("debian-12-1");
    old.alias = named("debian-12");
    make(std::move(old));
    NewImage newer = downloaded("debian-12-2");
    newer.disk.digest = digest_of('e');
    newer.alias = named("debian-12");
    make(std::move(newer));
    EXPECT_EQ(service_->usable(named("debian-12")).name, named("debian-12-2"));
    EXPECT_FALSE(service_->show(named("debian-12-1")).broken);
}

TEST_F(MakeImageTest, KeepsThePinAndWhatIsKnownBetter) {
    make(downloaded("lab"));
    run(service_->set_pinned(named("lab"), true));
    EXPECT_EQ(make(downloaded("lab", Verification::none)).origin->verified, Verification::signature);
    fs::remove(service_->disk_path(digest_of('d')));
    const Image mended = make(downloaded("lab"));
    EXPECT_TRUE(mended.pinned);
    EXPECT_FALSE(mended.broken);
}

TEST_F(MakeImageTest, LearnsTheOriginOfWhatWasImportedBefore) {
    NewImage unknown = downloaded("lab");
    unknown.origin.reset();
    EXPECT_FALSE(make(std::move(unknown)).origin);
    EXPECT_EQ(make(downloaded("lab", Verification::none)).origin->verified, Verification::none);
    EXPECT_EQ(make(downloaded("lab", Verification::checksum)).origin->verified, Verification::checksum);
}

TEST_F(MakeImageTest, LeavesNothingWhereANameIsTaken) {
    add_image("taken", 'a');
    tag("taken", "alias");
    NewImage as_alias = downloaded("new");
    as_alias.alias = named("taken");
    EXPECT_EQ(refusal([&] { return make(std::move(as_alias)); }).code(), ErrorCode::exists);
    NewImage itself = downloaded("new");
    itself.alias = named("new");
    EXPECT_EQ(refusal([&] { return make(std::move(itself)); }).code(), ErrorCode::invalid);
    EXPECT_EQ(refusal([&] { return make(downloaded("alias")); }).code(), ErrorCode::exists);
    EXPECT_EQ(refusal([&] { return make(downloaded("taken")); }).code(), ErrorCode::exists);
    EXPECT_THAT(names_of(service_->list()), ElementsAre("taken"));
    EXPECT_TRUE(fs::is_empty(paths_.uploads()));
    EXPECT_FALSE(fs::exists(service_->disk_path(digest_of('d'))));
}

// Space

TEST_F(ImageNamesTest, PruneRemovesOnlyWhatNobodyWants) {
    const ImageRecord used = add_image("used", 'a');
    add_image("behind-an-alias", 'b');
    add_image("pinned", 'c');
    const ImageRecord unused = add_image("unused", 'd');
    add_vm("web", "used", used);
    tag("behind-an-alias", "alias");
    run(service_->set_pinned(named("pinned"), true));
    const std::uint64_t bytes = bytes_of(unused);
    ASSERT_GE(bytes, disk_bytes);
    const Pruned pruned = prune();
    EXPECT_THAT(names_of(pruned.images), ElementsAre("unused"));
    EXPECT_EQ(pruned.freed, bytes);
    EXPECT_FALSE(fs::exists(disk_of(unused)));
    EXPECT_THAT(names_of(service_->list()), ElementsAre("behind-an-alias", "pinned", "used"));
    EXPECT_TRUE(fs::exists(disk_of(used)));
    EXPECT_THAT(prune().images, IsEmpty());
    EXPECT_THAT(events(), HasSubstr("image.removed"));
}

TEST_F(ImageNamesTest, ADryRunRemovesNothing) {
    const ImageRecord image = add_image("unused", 'a');
    const Pruned pruned = prune({.older_than = {}, .only = {}, .dry_run = true});
    EXPECT_THAT(names_of(pruned.images), ElementsAre("unused"));
    EXPECT_EQ(pruned.freed, bytes_of(image));
    EXPECT_TRUE(pruned.dry_run);
    EXPECT_FALSE(service_->show(image.name).broken);
}

TEST_F(ImageNamesTest, AFileThatAnotherImageNeedsIsNotFreed) {
    add_image("one", 'a');
    const ImageRecord two = add_image("two", 'a');
    run(service_->set_pinned(two.name, true));
    EXPECT_EQ(service_->show(two.name).unique, 0U);
    EXPECT_EQ(service_->show(two.name).shared, bytes_of(two));
    const Pruned pruned = prune();
    EXPECT_THAT(names_of(pruned.images), ElementsAre("one"));
    EXPECT_EQ(pruned.freed, 0U);
    EXPECT_FALSE(service_->show(two.name).broken);
    EXPECT_EQ(service_->show(two.name).unique, bytes_of(two));
}

TEST_F(ImageNamesTest, AFileThatGoesWithBothItsImagesIsFreedOnce) {
    const ImageRecord image = add_image("one", 'a');
    add_image("two", 'a');
    const std::uint64_t bytes = bytes_of(image);
    const Pruned pruned = prune();
    EXPECT_EQ(pruned.images.size(), 2U);
    EXPECT_EQ(pruned.freed, bytes);
}

TEST_F(ImageNamesTest, PruneKeepsWhatIsNotUnusedForLongEnough) {
    const ImageRecord image = add_image("lab", 'a');
    const ImagePrune old{.older_than = Age::parse("30d"), .only = {}, .dry_run = true};
    const ImagePrune very_old{.older_than = Age::parse("90d"), .only = {}, .dry_run = true};
    EXPECT_THAT(names_of(prune(old).images), ElementsAre("lab"));
    EXPECT_THAT(prune(very_old).images, IsEmpty());
    service_->touch(image.digest); // a VM went just now
    EXPECT_THAT(prune(old).images, IsEmpty());
    EXPECT_THAT(names_of(prune({.older_than = {}, .only = {}, .dry_run = true}).images), ElementsAre("lab"));
}

TEST_F(ImageNamesTest, PruneRemovesNoMoreThanWasAgreedTo) {
    add_image("shown", 'a');
    add_image("later", 'b');
    const Pruned pruned = prune({.older_than = {}, .only = std::vector{named("shown"), named("gone")}});
    EXPECT_THAT(names_of(pruned.images), ElementsAre("shown"));
    EXPECT_THAT(names_of(service_->list()), ElementsAre("later"));
}

TEST_F(ImageNamesTest, PruneRemovesNothingThatAVmIsBeingMadeFrom) {
    const ImageRecord image = add_image("lab", 'a');
    HeldImage held = service_->hold(image.name);
    const Operation pruning = service_->prune({});
    std::this_thread::sleep_for(100ms);
    EXPECT_FALSE(operations_->show(pruning.id).finished());
    EXPECT_TRUE(fs::exists(disk_of(image)));
    add_vm("web", "lab", image);
    held.lock.unlock();
    EXPECT_THAT(run<Pruned>(pruning).images, IsEmpty());
    EXPECT_TRUE(fs::exists(disk_of(image)));
}

TEST_F(ImageNamesTest, PruneRemovesNothingWhileARecordCannotBeRead) {
    add_image("lab", 'a');
    for (const fs::path& file :
         {paths_.vms() / "web/vm.toml", paths_.images() / "odd.toml", paths_.aliases() / "odd.toml"}) {
        make_folders(file.parent_path());
        replace_file(file, "typo\n");
        const Error error = refusal([&] { return prune(); });
        EXPECT_EQ(error.code(), ErrorCode::wrong_state);
        EXPECT_THAT(error.what(), HasSubstr(file.filename().string()));
        EXPECT_THAT(error.what(), HasSubstr("not known what it needs"));
        fs::remove(file);
    }
    EXPECT_THAT(names_of(prune().images), ElementsAre("lab"));
}

TEST_F(ImageNamesTest, TheUsageAddsUp) {
    const ImageRecord used = add_image("used", 'a');
    const ImageRecord pinned = add_image("pinned", 'b');
    add_image("also-pinned", 'b');
    const ImageRecord aliased = add_image("aliased", 'c');
    const ImageRecord unused = add_image("unused", 'd');
    add_image("unused-name", 'a'); // of a file that is used
    add_vm("web", "used", used);
    run(service_->set_pinned(pinned.name, true));
    run(service_->set_pinned(named("also-pinned"), true));
    tag("aliased", "alias");
    replace_file(paths_.vm(named("web")) / "disk.qcow2", std::string(disk_bytes, 'x'));
    const UploadResponse upload = service_->upload({});
    upload.write(std::string(disk_bytes, 'x'));

    const DiskUsage usage = service_->usage();
    EXPECT_EQ(usage.images.count, 6U);
    EXPECT_EQ(usage.in_use.count, 1U);
    EXPECT_EQ(usage.in_use.size, bytes_of(used));
    EXPECT_EQ(usage.pinned.count, 2U);
    EXPECT_EQ(usage.pinned.size, bytes_of(pinned));
    EXPECT_EQ(usage.aliased.size, bytes_of(aliased));
    EXPECT_EQ(usage.unused.count, 2U);
    EXPECT_EQ(usage.unused.size, bytes_of(unused));
    EXPECT_EQ(usage.images.size,
              usage.in_use.size + usage.pinned.size + usage.aliased.size + usage.unused.size);
    EXPECT_EQ(usage.unused.size, prune({.older_than = {}, .only = {}, .dry_run = true}).freed);
    EXPECT_EQ(usage.uploads.count, 1U);
    EXPECT_EQ(usage.vm_disks.count, 1U);
    EXPECT_GE(usage.vm_disks.size, disk_bytes);
    EXPECT_GT(usage.capacity, usage.free);
}

} // namespace
} // namespace capsul
