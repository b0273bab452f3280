from mongoengine import StringField

from core.data.documents import TenantDocument


class Note(TenantDocument):
    meta = {"collection": "shelf_notes", "indexes": ["topic"]}

    topic = StringField(required=True)
